"""Finished files in one folder: written whole and durably, found by name, removed.

Names come from the server alone and say nothing of a path. A folder belongs to one database, since
files that it does not know are removed. It knows nothing of jobs or pictures.
"""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from photogram.core import clock
from photogram.core.errors import ConfigurationError, NotFoundError, StorageError
from photogram.storage.files import new_file, sync

_NAME = re.compile(r"[0-9a-f]{32}\.[a-z]{3,4}")
_OWNER_NAME = "database"
_DRAFT_SUFFIX = ".part"
_DRAFT_LIFE = timedelta(hours=1)  # another server may be writing a younger one


def is_blob_name(name: str) -> bool:
    """Whether a file may have this name."""
    return _NAME.fullmatch(name) is not None


def new_blob_name(extension: str) -> str:
    """A name that nobody can guess: 128 random bits, and what kind of file it is."""
    return f"{secrets.token_hex(16)}.{extension}"


class BlobFolder:
    """A folder of files; made with mode 0700 where there is none.

    Args:
        path: The folder; the servers of one database share it.
        floor_bytes: Less free disk than this, and nothing new is taken on.
    """

    def __init__(self, path: Path, *, floor_bytes: int = 0) -> None:
        self._path = path
        self._floor_bytes = floor_bytes

    def prepare(self) -> None:
        """Make the folder, and remove what a killed server left half-written.

        Raises:
            StorageError: It cannot be made or written.
        """
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for draft in self._path.glob(f"*{_DRAFT_SUFFIX}"):
                if _written_at(draft) < clock.now() - _DRAFT_LIFE:
                    draft.unlink(missing_ok=True)
        except OSError as error:
            raise _refusal(error) from error

    def claim(self, database_id: str) -> None:
        """Prove that the folder is this database's; an empty one becomes its own.

        Args:
            database_id: As the folder's file `database` says it.

        Raises:
            ConfigurationError: It is another database's, or holds files and does not say whose.
            StorageError: It cannot be read or written.
        """
        marker = self._path / _OWNER_NAME
        try:
            if not marker.exists():
                if next(self.names(), None) is not None:
                    raise ConfigurationError(
                        f"the results folder {self._path} holds files and does not say of which"
                        f" database: if they are this one's, write its id {database_id} into"
                        f" {marker}; otherwise set another folder"
                    )
                # Of two databases, the first one's stays.
                with contextlib.suppress(FileExistsError), new_file(marker) as draft:
                    draft.write_text(f"{database_id}\n")
            owner = marker.read_text(errors="replace").strip()
        except OSError as error:
            raise _refusal(error) from error
        if owner != database_id:
            raise ConfigurationError(
                f"the results folder {self._path} belongs to the database {owner!r}, and this is the"
                f" database {database_id!r}: set another results folder, or the database of this one"
            )

    def check_space(self) -> None:
        """Whether there is room for results.

        Raises:
            StorageError: There is less free disk than the floor.
        """
        try:
            free_bytes = shutil.disk_usage(self._path).free
        except OSError as error:
            raise _refusal(error) from error
        if free_bytes < self._floor_bytes:
            raise StorageError("the server's disk is nearly full; nothing was billed")

    def write(self, blobs: Mapping[str, bytes]) -> None:
        """Write new files; when this returns, they survive a loss of power.

        Args:
            blobs: Contents by name.

        Raises:
            StorageError: The disk refused; none of them is there.
        """
        try:
            for name, content in blobs.items():
                self._write_draft(name, content)
            self._put_in_place(blobs)
            sync(self._path)
        except OSError as error:
            for name in blobs:
                self._draft(name).unlink(missing_ok=True)
            self.remove(blobs)
            raise _refusal(error) from error

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            NotFoundError: There is no such file.
            StorageError: It cannot be read.
        """
        try:
            return self._place(name).read_bytes()
        except FileNotFoundError:
            raise NotFoundError("the file is not there any more") from None
        except OSError as error:
            raise _refusal(error) from error

    def find(self, name: str) -> Path:
        """Where a file is, for who sends it piece by piece.

        Raises:
            NotFoundError: There is no such file.
        """
        place = self._place(name)
        if not place.is_file():
            raise NotFoundError("the file is not there any more")
        return place

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; what is not there already is no error."""
        for name in names:
            self._place(name).unlink(missing_ok=True)

    def names(self) -> Iterator[tuple[str, datetime]]:
        """All files: their names, and when they were written."""
        for path in self._path.iterdir():
            if _NAME.fullmatch(path.name):
                try:
                    written_at = _written_at(path)
                except FileNotFoundError:
                    continue  # it was removed meanwhile
                yield path.name, written_at

    def _write_draft(self, name: str, content: bytes) -> None:
        fd = os.open(self._draft(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def _put_in_place(self, names: Iterable[str]) -> None:
        for name in names:
            self._draft(name).rename(self._place(name))

    def _place(self, name: str) -> Path:
        if not is_blob_name(name):
            raise NotFoundError("there is no such file")
        return self._path / name

    def _draft(self, name: str) -> Path:
        return self._place(name).with_suffix(_DRAFT_SUFFIX)


def _written_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _refusal(error: OSError) -> StorageError:
    # The words may reach a client: they name no path.
    return StorageError(f"the server's disk refused ({error.strerror}); nothing was billed")
