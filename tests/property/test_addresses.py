"""No URL leads to a connection inside, however it is written and whatever its name resolves to."""

import ipaddress
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from hypothesis import example, given
from hypothesis import strategies as st

from photogram.webhooks.addresses import AddressError, AddressGuard, IPAddress

OUTSIDE = AddressGuard(may_be_private=False)

ADDRESSES: st.SearchStrategy[IPAddress] = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
    st.ip_addresses(v=4).map(lambda each: IPv6Address(int(each) | 0xFFFF << 32)),
    st.ip_addresses(v=4).map(lambda each: IPv6Address(int(each) | 0x64FF9B << 96)),
)
WRITTEN = st.text(st.sampled_from("https://[]:@.%\\#?&=0123456789abcdefxX-_ \t\u3002\u212a"))


def _is_inside(address: IPAddress) -> bool:
    """By the standard library's own tables, which are another's work than ours."""
    if isinstance(address, IPv6Address):
        carried = IPv4Address(int(address) & 0xFFFFFFFF)
        if address.ipv4_mapped or address in ipaddress.ip_network("64:ff9b::/96"):
            return _is_inside(carried)
    return not address.is_global or address.is_multicast or address.is_reserved


@given(ADDRESSES)
def test_what_the_standard_library_calls_private_is_refused(address: IPAddress) -> None:
    if _is_inside(address):
        assert not OUTSIDE.allows(address)


@given(st.integers(0, 2**24 - 1))
def test_every_address_of_the_machine_itself_is_refused(number: int) -> None:
    address = IPv4Address(127 << 24 | number)
    for each in (address, IPv6Address(f"::ffff:{address}"), IPv6Address(f"64:ff9b::{address}")):
        assert not OUTSIDE.allows(each)


@given(st.one_of(st.text(), WRITTEN, WRITTEN.map(lambda rest: f"https://{rest}")))
@example("https://2130706433/")
@example("https://a.com\\@127.0.0.1/")
def test_another_reader_of_the_url_finds_the_same_host(url: str) -> None:
    try:
        target = OUTSIDE.parse(url)
    except AddressError:
        return
    read = urlsplit(url)
    assert read.scheme == "https"
    assert (read.hostname, read.port or 443) == (
        _as_written(target.host, read.hostname),
        target.port,
    )
    assert (read.username, read.password, read.fragment) == (None, None, "")
    assert target.host.isascii()
    assert all("!" <= each <= "~" for each in target.path)


def _as_written(host: str, written: str | None) -> str | None:
    """IPv6 addresses have several spellings."""
    if ":" in host and written and ip_address(written) == ip_address(host):
        return written
    return host


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{:d}", "0x{:x}", "0{:o}"]))
def test_an_address_is_four_decimal_numbers_or_refused(number: int, form: str) -> None:
    written = form.format(number)
    try:
        OUTSIDE.parse(f"https://{written}/")
    except AddressError:
        return
    raise AssertionError(written)


@given(st.lists(ADDRESSES, min_size=1, max_size=4))
async def test_only_names_with_public_addresses_alone_are_resolved(
    addresses: list[IPAddress],
) -> None:
    async def answer(name: str) -> list[IPAddress]:
        return addresses

    guard = AddressGuard(may_be_private=False, look_up=answer)
    try:
        found = await guard.resolve(guard.parse("https://example.com/"))
    except AddressError:
        assert not all(map(guard.allows, addresses))
    else:
        assert set(found) == set(addresses)
        assert not any(map(_is_inside, found))
