"""The data folder: where the database and the secrets of one server live.

In goes a path; out come the folder's lock, its pepper and its free space. It knows nothing of what
the database holds, and nothing of who serves.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import URL

from photogram.core.errors import ConfigurationError, StorageError
from photogram.storage.files import new_file

_PEPPER_BYTES = 32


class DataFolder:
    """A folder that exists and can be written; made with mode 0700 where there is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_fd: int | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Make the folder if there is none, and prove that it can be written.

        Raises:
            StorageError: It is no folder, or it cannot be made or written.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Permission bits say nothing on a read-only mount, or to root: only a write tells.
            with tempfile.TemporaryFile(dir=path):
                pass
        except (FileExistsError, NotADirectoryError):
            raise StorageError(f"the data folder {path} is not a folder") from None
        except OSError as error:
            raise StorageError(
                f"the data folder {path} cannot be written: {error.strerror}"
            ) from error
        return cls(path)

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.path / "photogram.sqlite3"

    @property
    def database_url(self) -> str:
        """The same, as `Database.open` takes it."""
        return URL.create("sqlite", database=str(self.database_path)).render_as_string()

    def lock(self) -> None:
        """Take the folder for this process alone, until `close` or the process's end.

        The kernel frees the lock with the process, so that a killed server leaves nothing stale.
        The CLI works beside a server and does not take it.

        Raises:
            ConfigurationError: Another server holds it.
            StorageError: The folder's disk has no locks, or the file is another user's.
        """
        try:
            self._lock_fd = os.open(self.path / "server.lock", os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise ConfigurationError(
                f"another server already uses the data folder {self.path}"
            ) from None
        except OSError as error:
            self.close()
            raise StorageError(
                f"the data folder {self.path} cannot be locked: {error.strerror}"
            ) from error

    def close(self) -> None:
        """Give the lock back, if it is held."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def pepper(self) -> bytes:
        """The 32 secret bytes that token hashes are keyed with; made at the first call.

        Whoever loses the file has to make all keys anew, so it is on the disk before it is used.

        Raises:
            StorageError: It cannot be written or read, or is not 32 bytes long.
        """
        path = self.path / "pepper"
        try:
            if not path.exists():
                self._make_pepper(path)
            pepper = path.read_bytes()
        except OSError as error:
            raise StorageError(
                f"the secret {path} cannot be read or made: {error.strerror}"
            ) from error
        if len(pepper) != _PEPPER_BYTES:
            raise StorageError(f"the secret {path} is damaged; restore it from a backup")
        return pepper

    def _make_pepper(self, path: Path) -> None:
        # Of two processes, the first one's stays.
        with contextlib.suppress(FileExistsError), new_file(path) as draft:
            draft.write_bytes(secrets.token_bytes(_PEPPER_BYTES))

    def free_bytes(self) -> int:
        """Bytes that this process may still write to the folder's disk."""
        return shutil.disk_usage(self.path).free
