from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from photogram.webhooks.addresses import AddressGuard, IPAddress
from photogram.webhooks.download import DownloadError, Downloads
from tests.unit.webhooks.sink import answer, open_sink

ANYWHERE = Downloads(AddressGuard(may_be_private=True))


async def test_what_is_there_is_fetched_whole() -> None:
    async with open_sink(answer(200, body=b"picture" * 10_000)) as sink:
        assert await ANYWHERE.get(sink.url, 100_000) == b"picture" * 10_000
    (received,) = sink.received
    assert received.path == "/hook?a=b"
    assert received.headers["host"] == f"127.0.0.1:{sink.port}"
    assert received.headers["user-agent"].startswith("photogram/")


async def test_more_than_is_taken_is_not_read() -> None:
    async with open_sink(answer(200, body=b"x" * 10_000_000)) as sink:
        with pytest.raises(DownloadError, match="larger than 9999 bytes"):
            await ANYWHERE.get(sink.url, 9999)


async def test_one_that_does_not_end_is_given_up() -> None:
    hasty = Downloads(AddressGuard(may_be_private=True), timeout_s=0.2)
    for reply in (None, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"):
        async with open_sink(reply) as sink:
            with pytest.raises(DownloadError, match=r"within 0\.2 seconds|could not be fetched"):
                await hasty.get(sink.url, 100)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(status: int) -> None:
    async with open_sink(answer(status, "Location: /there"), answer(200, body=b"x")) as sink:
        assert await ANYWHERE.get(sink.url, 100) == b"x"
    assert [each.path for each in sink.received] == ["/hook?a=b", "/there"]


async def test_redirects_end() -> None:
    async with open_sink(answer(302, "Location: /there")) as sink:
        with pytest.raises(DownloadError, match="more than 3 times"):
            await ANYWHERE.get(sink.url, 100)
    assert len(sink.received) == 4


@pytest.mark.parametrize("status", [204, 206, 304, 404, 500])
async def test_any_other_status_is_told(status: int) -> None:
    async with open_sink(answer(status)) as sink:
        with pytest.raises(DownloadError, match=f"the status {status}"):
            await ANYWHERE.get(sink.url, 100)


async def test_every_address_on_the_way_is_checked() -> None:
    """A name outside that leads inside: by its address, or by a redirect."""
    asked: list[str] = []

    async def look_up(name: str) -> Sequence[IPAddress]:
        asked.append(name)
        return [ip_address("127.0.0.1")]

    guarded = Downloads(AddressGuard(may_be_private=False, look_up=look_up))
    with pytest.raises(DownloadError, match="public addresses"):
        await guarded.get("https://outside.example/x.png", 100)
    assert asked == ["outside.example"]


async def test_a_redirect_to_what_may_not_be_asked_is_refused() -> None:
    for place in ("ftp://127.0.0.1/x", "http://169.254.169.254/latest", "file:///etc/passwd"):
        async with open_sink(answer(302, f"Location: {place}")) as sink:
            with pytest.raises(DownloadError, match="must"):
                await ANYWHERE.get(sink.url, 100)


async def test_a_redirect_to_no_address_is_told() -> None:
    async with open_sink(answer(302, "Location: http://[x")) as sink:
        with pytest.raises(DownloadError, match="no address"):
            await ANYWHERE.get(sink.url, 100)
