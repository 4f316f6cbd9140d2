"""A receiver of webhooks on a real socket, which answers as it is told."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Sink:
    """Gives the answers in turn, and the last one from then on.

    An answer of None is none at all: the connection stays open and silent.
    """

    answers: list[bytes | None]
    on_request: Callable[[], Awaitable[None]] | None = None
    received: list[Received] = field(default_factory=list)
    num_connections: int = 0
    num_open: int = 0
    most_open: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=b"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        self.num_open += 1
        self.most_open = max(self.most_open, self.num_open)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            self.num_open -= 1
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        request_line, *lines = head.split("\r\n")[:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        reply = self.answers[min(len(self.received), len(self.answers) - 1)]
        self.received.append(Received(request_line.split()[1], headers, body))
        if self.on_request is not None:
            await self.on_request()
        if reply is None:
            await reader.read()  # until the other side gives up
        else:
            writer.write(reply)
            await writer.drain()


@contextlib.asynccontextmanager
async def open_sink(
    *answers: bytes | None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Sink]:
    sink = Sink(list(answers))
    server = await asyncio.start_server(sink.handle, "127.0.0.1", 0, ssl=tls)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
