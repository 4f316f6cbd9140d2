"""uvicorn's HTTP protocol with an end to its patience: for ``uvicorn.Config(http=GuardedProtocol)``.

uvicorn waits for ever for the headers of a request, however many, for the rest of a body that
nobody reads any more, and for a client to take its answer. Here all have a deadline, and what is
no HTTP is answered in the one shape of every error. Bodies that a route reads have their own
deadline, in `api.body`.
"""

import json
import socket
from asyncio import AbstractEventLoop, TimerHandle, Transport
from typing import Any, ClassVar

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from photogram.api.body import BODY_TIMEOUT_S
from photogram.core.ids import new_id

# Far above what the app allows, so that it is the app that refuses what a real client may send.
MAX_UNREAD_HEADER_BYTES = 64 * 1024


class GuardedProtocol(HttpToolsProtocol):
    """One connection; closed when the client is too slow or sends too much before its request."""

    headers_timeout_s: ClassVar[float] = 5.0
    """From the opening of a connection, or a request's first byte, to the end of its headers."""
    write_timeout_s: ClassVar[float] = 120.0
    """How long a client may take to read what was written to it."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline: TimerHandle | None = None
        self._write_deadline: TimerHandle | None = None
        self._is_reading_headers = True
        self._num_header_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as uvicorn narrows it
        super().connection_made(transport)
        _send_at_once(transport)
        self._arm(self.headers_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._num_header_bytes += len(data)
        super().data_received(data)
        if not self._is_reading_headers or self.transport.is_closing():
            return
        if self._num_header_bytes > MAX_UNREAD_HEADER_BYTES:
            self._refuse(431, "headers_too_large", "the headers are too large")
        elif self._deadline is None and self._is_idle():
            self._arm(self.headers_timeout_s)

    def on_headers_complete(self) -> None:
        self._disarm()
        self._is_reading_headers = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._disarm()
        self._is_reading_headers = True
        self._num_header_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._is_reading_headers and self._is_idle():
            # The client still sends a body that was answered already: let it, but not for ever.
            self._arm(BODY_TIMEOUT_S)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_deadline = self.loop.call_later(self.write_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "invalid_request", msg)

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _arm(self, timeout_s: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(timeout_s, self.transport.close)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Hang up; with an answer, unless it would fall into the middle of another one."""
        if self._is_idle():
            self._write_error(status, code, message)
        self.transport.close()

    def _write_error(self, status: int, code: str, message: str) -> None:
        request_id = new_id()
        body = json.dumps(
            {"error": message, "code": code, "request_id": request_id, "details": []}
        ).encode()
        headers = (
            "content-type: application/json\r\n"
            f"content-length: {len(body)}\r\n"
            f"x-request-id: {request_id}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[status] + headers.encode() + body)


def _send_at_once(transport: Transport) -> None:
    """Switch Nagle's algorithm off: it holds a body back until its headers are acknowledged.

    asyncio does so itself only for sockets that name their protocol, which accepted ones do only
    if their listener did. On a kept connection the wait is 40 ms for every answer.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
