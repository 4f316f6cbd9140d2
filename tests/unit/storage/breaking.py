"""A way to a PostgreSQL server that breaks off when a word passes."""

import contextlib
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self


class BreakingProxy:
    """Listens in `folder` as a PostgreSQL server would, and hands everything on to another."""

    def __init__(self, folder: Path, server: Path) -> None:
        self.num_broken = 0
        self._server = server
        self._word: bytes | None = None
        self._after: bytes = b""
        self._is_forwarded = False
        self._is_for_good = False
        self._sockets: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / server.name))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def break_at(
        self, word: bytes, *, is_forwarded: bool, is_for_good: bool = False, after: bytes = b""
    ) -> None:
        """Break the next connection that says `word`.

        Args:
            word: What a client sends.
            is_forwarded: The server still gets it; only its answer is lost.
            is_for_good: Nobody gets through afterwards.
            after: What the client must have said before in the same transaction.
        """
        self._after = after
        self._word, self._is_forwarded, self._is_for_good = word, is_forwarded, is_for_good

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _shut(self._listener)
        for each in self._sockets:
            _shut(each)
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._sockets):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            self._sockets += [client, server]
            for pair in ((client, server), (server, client)):
                self._threads.append(threading.Thread(target=self._pass_on, args=pair))
                self._threads[-1].start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            has_said = False
            while data := source.recv(65536):
                has_said = self._after in data or (has_said and b"BEGIN" not in data)
                if self._word is not None and has_said and self._word in data:
                    self._word = None
                    self.num_broken += 1
                    if self._is_for_good:
                        _shut(self._listener)
                    # The client first: it must not see the answer.
                    _shut(source)
                    if self._is_forwarded:
                        target.sendall(data)
                    break
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
