import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from photogram.webhooks.addresses import AddressGuard, IPAddress, Target
from photogram.webhooks.exchange import Answer, ExchangeError, post
from tests.unit.webhooks.sink import OK, Sink, answer, open_sink

LOOPBACK = ip_address("127.0.0.1")
NAME = "sink.example.com"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for `NAME`."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    key = path.with_suffix(".key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", f"/CN={NAME}"]
    command += ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(key), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + key.read_text())
    return path


async def _post(sink: Sink, *addresses: IPAddress, url: str | None = None) -> Answer:
    target = AddressGuard(may_be_private=True).parse(url or sink.url)
    headers = [("Content-Type", "application/json"), ("X-Word", "value")]
    context = ssl.create_default_context()
    return await post(target, addresses or (LOOPBACK,), headers, b'{"a": 1}', context)


async def test_the_request_arrives_whole() -> None:
    async with open_sink(OK) as sink:
        assert await _post(sink) == Answer(204, None)
    (received,) = sink.received
    assert (received.path, received.body) == ("/hook?a=b", b'{"a": 1}')
    assert received.headers == {
        "host": f"127.0.0.1:{sink.port}",
        "connection": "close",
        "content-length": "8",
        "content-type": "application/json",
        "x-word": "value",
    }


async def test_the_connection_goes_to_the_address_and_the_name_is_not_looked_up() -> None:
    async with open_sink(OK) as sink:
        await _post(sink, url=f"http://no-such-name.invalid:{sink.port}/")
    assert sink.received[0].headers["host"] == f"no-such-name.invalid:{sink.port}"


async def test_an_address_that_does_not_answer_is_followed_by_the_next() -> None:
    async with open_sink(OK) as sink:
        assert (await _post(sink, ip_address("127.0.0.2"), LOOPBACK)).status == 204
    assert sink.num_connections == 1


@pytest.mark.parametrize("status", [200, 302, 404, 410, 503])
async def test_the_status_is_told_and_no_redirect_followed(status: int) -> None:
    async with (
        open_sink(OK) as canary,
        open_sink(
            answer(status, f"Location: {canary.url}", "Retry-After: 7", body=b"x" * 100)
        ) as sink,
    ):
        found = await _post(sink)
    assert (found.status, found.retry_after, found.body) == (status, "7", b"")
    assert canary.num_connections == 0


async def test_words_before_the_answer_are_skipped() -> None:
    async with open_sink(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK) as sink:
        assert (await _post(sink)).status == 204


async def test_a_body_without_end_is_not_read_to_its_end() -> None:
    async with open_sink(answer(200, body=b"x" * 50_000_000)) as sink:
        assert (await _post(sink)).status == 200


async def test_a_status_counts_though_its_body_never_comes() -> None:
    async with open_sink(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") as sink:
        assert (await _post(sink)).status == 200


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"", "not in HTTP|broke"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not in HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "not in HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "not in HTTP|closed"),
        (b"HTTP/1.1 103 x\r\n\r\n" * 1000, "not in HTTP|broke|closed"),
    ],
)
async def test_what_is_no_answer_is_told(reply: bytes, words: str) -> None:
    async with open_sink(reply) as sink:
        with pytest.raises(ExchangeError, match=words):
            await _post(sink)


async def test_nobody_there_is_told() -> None:
    async with open_sink(OK) as sink:
        port = sink.port
    with pytest.raises(ExchangeError, match=r"^The connection was refused\.$"):
        await _post(sink, url=f"http://127.0.0.1:{port}/")


@contextlib.asynccontextmanager
async def _open_tls_sink(certificate: Path) -> AsyncIterator[tuple[Sink, list[str | None]]]:
    """A sink, and the names that it was asked for before any request."""
    names: list[str | None] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with open_sink(OK, tls=context) as sink:
        yield sink, names


async def test_tls_asks_for_the_name_at_the_address(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with _open_tls_sink(certificate) as (sink, names):
        target = Target(is_tls=True, host=NAME, port=sink.port, path="/")
        assert (await post(target, (LOOPBACK,), [], b"", trusting)).status == 204
    assert names == [NAME]
    assert sink.received[0].headers["host"] == f"{NAME}:{sink.port}"


@pytest.mark.parametrize(
    ("name", "is_trusting", "words"),
    [("other.example.com", True, "certificate"), (NAME, False, "certificate")],
)
async def test_nothing_is_said_to_whom_cannot_prove_the_name(
    certificate: Path, name: str, is_trusting: bool, words: str
) -> None:
    context = ssl.create_default_context(cafile=str(certificate) if is_trusting else None)
    async with _open_tls_sink(certificate) as (sink, _):
        target = Target(is_tls=True, host=name, port=sink.port, path="/")
        with pytest.raises(ExchangeError, match=words):
            await post(target, (LOOPBACK,), [], b"secret", context)
        await asyncio.sleep(0)
    assert sink.received == []


async def test_a_host_without_tls_is_told() -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com\r\n" * 100)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    target = Target(is_tls=True, host=NAME, port=server.sockets[0].getsockname()[1], path="/")
    with pytest.raises(ExchangeError, match="does not speak TLS"):
        await post(target, (LOOPBACK,), [], b"", ssl.create_default_context())
    server.close()
