"""One HTTP request to addresses that were checked before: it goes out, the answer's head comes in.

The connection is made to an address, never to a name; certificates are checked for the name. There
are no redirects, proxies, cookies or pools, and an answer's body is thrown away. It knows nothing
of which addresses are good.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import h11

from photogram.webhooks.addresses import IPAddress, Target

_CONNECT_TIMEOUT_S = 5.0
_REST_TIMEOUT_S = 2.0
_MAX_REST_BYTES = 64 * 1024
_READ_BYTES = 16 * 1024


class ExchangeError(Exception):
    """There is no answer; the text says why, in a sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer."""

    status: int
    retry_after: str | None


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
    reader, writer = await _connect(target, addresses, tls)
    try:
        return await _exchange(reader, writer, _encode(target, headers, body))
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


def _encode(
    target: Target, headers: Iterable[tuple[str, str]], body: bytes
) -> tuple[h11.Connection, bytes]:
    """The request's bytes, and the parser of its answer."""
    connection = h11.Connection(h11.CLIENT)
    framing = [
        ("Host", target.authority),
        ("Connection", "close"),
        ("Content-Length", str(len(body))),
    ]
    request = h11.Request(method="POST", target=target.path, headers=[*framing, *headers])
    parts = [connection.send(event) for event in (request, h11.Data(data=body), h11.EndOfMessage())]
    return connection, b"".join(part for part in parts if part)


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    request: tuple[h11.Connection, bytes],
) -> Answer:
    connection, data = request
    writer.write(data)
    await writer.drain()
    while True:
        event = await _next_event(connection, reader)
        if isinstance(event, h11.Response):
            break
        if not isinstance(event, h11.InformationalResponse):
            raise ExchangeError("The connection was closed before an answer.")
    # The answer is known; its end is awaited only so that its sender meets no broken connection.
    with contextlib.suppress(TimeoutError, OSError, h11.RemoteProtocolError):
        async with asyncio.timeout(_REST_TIMEOUT_S):
            await _discard(connection, reader)
    named = dict(event.headers)
    retry_after = named.get(b"retry-after")
    return Answer(event.status_code, retry_after.decode("latin-1") if retry_after else None)


async def _discard(connection: h11.Connection, reader: asyncio.StreamReader) -> None:
    num_bytes = 0
    while num_bytes <= _MAX_REST_BYTES:
        event = await _next_event(connection, reader)
        if not isinstance(event, h11.Data):
            return
        num_bytes += len(event.data)


async def _next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> object:
    while True:
        event = connection.next_event()
        if event is not h11.NEED_DATA:
            return event
        connection.receive_data(await reader.read(_READ_BYTES))
