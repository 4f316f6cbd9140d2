from ipaddress import ip_address

import pytest

from photogram.webhooks.addresses import AddressError, AddressGuard, IPAddress, look_up

OUTSIDE = AddressGuard(may_be_private=False)
INSIDE = AddressGuard(may_be_private=True)


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("https://example.com", "example.com", 443, "/", "example.com"),
        ("HTTPS://Example.COM/A?b=%20", "example.com", 443, "/A?b=%20", "example.com"),
        ("https://example.com:8443?x", "example.com", 8443, "/?x", "example.com:8443"),
        ("https://example.com:443/@a:b", "example.com", 443, "/@a:b", "example.com"),
        ("https://8.8.8.8/", "8.8.8.8", 443, "/", "8.8.8.8"),
        ("https://[2606:4700::1]:99/", "2606:4700::1", 99, "/", "[2606:4700::1]:99"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/", None),
        ("https://127.0.0.1.example.com/", "127.0.0.1.example.com", 443, "/", None),
    ],
)
def test_a_plain_url_is_taken_apart(
    url: str, host: str, port: int, path: str, authority: str | None
) -> None:
    target = OUTSIDE.parse(url)
    assert (target.is_tls, target.host, target.port, target.path) == (True, host, port, path)
    assert target.authority == (authority or host)


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "//example.com/", "https:example.com", "https:///x", "https://"),
        *("http://example.com/", "ftp://example.com/", "gopher://example.com/", "file:///etc"),
        *("https://a@example.com/", "https://a:b@example.com/", "https://example.com@127.0.0.1/"),
        *("https://example.com#@x", "https://example.com/#x", "https://example.com\\@x/"),
        *("https://example.com/a b", "https://example.com/\r\nX: y", "https://example.com/\n"),
        *("https://example.com\x00/", "https://exam%70le.com/", " https://example.com/"),
        *("https://bücher.example/", "https://example.com/ü", "https://①②⑦.⓪.⓪.①/"),
        *("https://127。0。0。1/", "https://\u212aexample.com/", "https://example\u017f.com/"),
        *("https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/"),
        *("https://0x7f.0.0.1/", "https://127.0.0.0x1/", "https://017700000001/", "https://0/"),
        *("https://127.0.0.1./", "https://127.0.0.256/", "https://1.2.3.4.5/", "https://0x/"),
        *("https://127.0.0.1/", "https://10.1.2.3/", "https://169.254.169.254/latest/"),
        *("https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/"),
        *("https://[64:ff9b::10.0.0.1]/", "https://[fe80::1%25eth0]/", "https://[::]/"),
        *("https://[127.0.0.1]/", "https://[::1/", "https://::1/", "https://[]/"),
        *("https://localhost/", "https://a..com/", "https://-a.com/", "https://a-.com/"),
        *("https://example.com./", "https://.example.com/", f"https://{'a' * 64}.com/"),
        *("https://example.com:0/", "https://example.com:65536/", "https://example.com:/"),
        *("https://example.com:+80/", "https://example.com:٨٠/", f"https://e.com/{'a' * 2048}"),
    ],
)
def test_what_may_be_read_in_two_ways_or_is_not_outside_is_refused(url: str) -> None:
    with pytest.raises(AddressError, match=r"^must "):
        OUTSIDE.parse(url)


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://127.0.0.1:8080/", 8080),
        ("http://sink/", 80),
        ("https://my_sink/", 443),
        ("http://[fd00::1]/", 80),
        ("http://10.0.0.1/", 80),
    ],
)
def test_an_operator_may_open_the_own_network(url: str, port: int) -> None:
    assert INSIDE.parse(url).port == port
    with pytest.raises(AddressError):
        OUTSIDE.parse(url)


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.1", "224.0.0.1", "255.255.255.255"])
def test_nobody_may_open_what_is_no_machine_or_gives_secrets_away(address: str) -> None:
    with pytest.raises(AddressError):
        INSIDE.parse(f"http://{address}/")
    with pytest.raises(AddressError):
        INSIDE.parse(f"http://[::ffff:{address}]/")


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("8.8.8.8", True),
        ("100.63.255.255", True),
        ("100.64.0.1", False),
        ("172.15.0.1", True),
        ("172.31.255.255", False),
        ("198.19.0.1", False),
        ("192.0.2.1", False),
        ("2606:4700::1111", True),
        ("64:ff9b::8.8.8.8", True),
        ("64:ff9b::192.168.0.1", False),
        ("64:ff9b:1::8.8.8.8", False),
        ("::ffff:8.8.8.8", True),
        ("::8.8.8.8", False),
        ("2002:7f00:1::", False),
        ("2001::1", False),
        ("2001:db8::1", False),
        ("fe80::1%eth0", False),
        ("ff02::1", False),
        ("fec0::1", False),
    ],
)
def test_only_public_addresses_are_connected_to(address: str, is_allowed: bool) -> None:
    assert OUTSIDE.allows(ip_address(address)) is is_allowed


def _answering(*answers: list[str]) -> tuple[AddressGuard, list[str]]:
    """A guard whose resolver answers differently every time, and the names it was asked for."""
    asked: list[str] = []

    async def answer(name: str) -> list[IPAddress]:
        asked.append(name)
        return [ip_address(each) for each in answers[len(asked) - 1]]

    return AddressGuard(may_be_private=False, look_up=answer), asked


async def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    guard, _ = _answering(["8.8.8.8", "127.0.0.1"])
    with pytest.raises(AddressError, match="public addresses only"):
        await guard.resolve(guard.parse("https://example.com/"))


async def test_a_name_is_looked_up_once() -> None:
    guard, asked = _answering(["8.8.8.8", "2606:4700::1", "8.8.8.8"], ["127.0.0.1"])
    addresses = await guard.resolve(guard.parse("https://example.com/"))
    assert list(map(str, addresses)) == ["8.8.8.8", "2606:4700::1"]
    assert asked == ["example.com"]


async def test_an_unknown_name_and_a_private_one_are_told_in_the_same_words() -> None:
    async def unknown(name: str) -> list[IPAddress]:
        raise OSError("no such name")

    private, _ = _answering(["10.0.0.1"])
    said = set()
    for guard in (private, AddressGuard(may_be_private=False, look_up=unknown)):
        with pytest.raises(AddressError) as refused:
            await guard.resolve(guard.parse("https://secret.example.com/"))
        said.add(str(refused.value))
    assert len(said) == 1


async def test_an_address_needs_no_look_up() -> None:
    guard, asked = _answering()
    assert await guard.resolve(guard.parse("https://8.8.8.8/")) == (ip_address("8.8.8.8"),)
    assert asked == []


async def test_the_machines_own_resolver_is_asked() -> None:
    assert ip_address("127.0.0.1") in await look_up("localhost")
    with pytest.raises(OSError, match=r"not known|resolution|No address"):
        await look_up("no-such-name.invalid")
