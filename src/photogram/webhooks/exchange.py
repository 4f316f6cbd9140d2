"""One HTTP request to addresses that were checked before: it goes out, the answer's head comes in.

The connection is made to an address, never to a name; certificates are checked for the name. There
are no redirects, proxies, cookies or pools, and the body of an answer to a POST is thrown away. It
knows nothing of which addresses are good.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace

import h11

from photogram.webhooks.addresses import IPAddress, Target

_CONNECT_TIMEOUT_S = 5.0
_REST_TIMEOUT_S = 2.0
_MAX_REST_BYTES = 64 * 1024
_READ_BYTES = 16 * 1024
_OK = 200


class ExchangeError(Exception):
    """There is no answer; the text says why, in a sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer, and of an answer to a GET the body."""

    status: int
    retry_after: str | None
    location: str | None = None
    body: bytes = b""


async def post(
    target: Target,
    addresses: Sequence[IPAddress],
    headers: Iterable[tuple[str, str]],
    body: bytes,
    tls: ssl.SSLContext,
) -> Answer:
    """Send one POST, at most once, to the first address that can be connected to.

    Args:
        target: What to ask for.
        addresses: Of the target's host; they are tried in this order, at least one.
        headers: Beside ``Host``, ``Connection`` and ``Content-Length``.
        body: Small: it is written at once.
        tls: Whom to trust, where the target asks for TLS.

    Raises:
        ExchangeError: No connection, no trust, or no answer in HTTP.
    """
    framing = ("Content-Length", str(len(body)))
    request = _request("POST", target, [framing, *headers])
    async with _connected(target, addresses, tls) as (reader, writer):
        connection, answer = await _exchange(reader, writer, request, body)
        # The answer is known; its end is awaited only so that its sender meets no broken connection.
        with contextlib.suppress(TimeoutError, OSError, h11.RemoteProtocolError, ExchangeError):
            async with asyncio.timeout(_REST_TIMEOUT_S):
                await _read_body(connection, reader, _MAX_REST_BYTES)
    return answer


async def get(
    target: Target,
    addresses: Sequence[IPAddress],
    headers: Iterable[tuple[str, str]],
    max_bytes: int,
    tls: ssl.SSLContext,
) -> Answer:
    """Ask for what is there; of an answer with another status than 200, the head is enough.

    Args:
        target: What to ask for.
        addresses: As for `post`.
        headers: Beside ``Host`` and ``Connection``.
        max_bytes: How large the body may be.
        tls: As for `post`.

    Raises:
        ExchangeError: No connection, no trust, no answer in HTTP, or too large a one.
    """
    async with _connected(target, addresses, tls) as (reader, writer):
        connection, answer = await _exchange(reader, writer, _request("GET", target, headers))
        if answer.status != _OK:
            return answer
        return replace(answer, body=await _read_body(connection, reader, max_bytes))


@contextlib.asynccontextmanager
async def _connected(
    target: Target, addresses: Sequence[IPAddress], tls: ssl.SSLContext
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection for one exchange, whose end tells what went wrong in it."""
    reader, writer = await _connect(target, addresses, tls)
    try:
        yield reader, writer
    except h11.RemoteProtocolError:
        raise ExchangeError("The answer is not in HTTP.") from None
    except OSError:
        raise ExchangeError("The connection broke before an answer.") from None
    finally:
        # To close TLS politely is to wait for the other side.
        writer.transport.abort()


async def _connect(
    target: Target, addresses: Sequence[IPAddress], tls: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reason = ""
    for address in addresses:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                return await asyncio.open_connection(
                    str(address),
                    target.port,
                    ssl=tls if target.is_tls else None,
                    server_hostname=target.host if target.is_tls else None,
                )
        except ssl.SSLCertVerificationError as error:
            reason = f"The certificate is not valid: {error.verify_message}."
        except ssl.SSLError:
            reason = "The host does not speak TLS as it should."
        except ConnectionRefusedError:
            reason = "The connection was refused."
        except TimeoutError:
            reason = f"There was no connection within {_CONNECT_TIMEOUT_S:g} seconds."
        except OSError:
            reason = "The host cannot be reached."
    raise ExchangeError(reason)


def _request(method: str, target: Target, headers: Iterable[tuple[str, str]]) -> h11.Request:
    framing = [("Host", target.authority), ("Connection", "close")]
    return h11.Request(method=method, target=target.path, headers=[*framing, *headers])


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    request: h11.Request,
    body: bytes = b"",
) -> tuple[h11.Connection, Answer]:
    """The head of an answer, and the parser of what follows."""
    connection = h11.Connection(h11.CLIENT)
    for part in (request, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(part) or b"")
    await writer.drain()
    while True:
        event = await _next_event(connection, reader)
        if isinstance(event, h11.Response):
            break
        if not isinstance(event, h11.InformationalResponse):
            raise ExchangeError("The connection was closed before an answer.")
    named = {name: value.decode("latin-1") for name, value in event.headers}
    answer = Answer(event.status_code, named.get(b"retry-after"), named.get(b"location"))
    return connection, answer


async def _read_body(
    connection: h11.Connection, reader: asyncio.StreamReader, max_bytes: int
) -> bytes:
    """What follows the head.

    Raises:
        ExchangeError: It is larger.
    """
    body = bytearray()
    while isinstance(event := await _next_event(connection, reader), h11.Data):
        body += event.data
        if len(body) > max_bytes:
            raise ExchangeError(f"The answer is larger than {max_bytes} bytes.")
    return bytes(body)


async def _next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> object:
    while True:
        event = connection.next_event()
        if event is not h11.NEED_DATA:
            return event
        connection.receive_data(await reader.read(_READ_BYTES))
