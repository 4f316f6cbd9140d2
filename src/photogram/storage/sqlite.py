"""SQLite: one file, one writer, durable to the last acknowledged transaction.

A path goes in; an engine comes out whose connections wait for locks as they are told to. It knows
no tables.

Source: https://sqlite.org/wal.html#walresetbug for the versions that may lose committed writes.
"""

import contextlib
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import structlog
from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError

from photogram.core.errors import StorageError
from photogram.storage.backend import NUM_SURVEYS

_RETRY_BUSY_S: Final = 1.0
_RETRY_BROKEN_S: Final = 10.0

_log = structlog.get_logger(__name__)


def loses_wal_writes(version: tuple[int, ...]) -> bool:
    """Whether this SQLite may lose committed writes in WAL mode with two connections.

    Versions 3.7.0 to 3.51.2, but for the back-ports 3.44.6 and 3.50.7.
    """
    if version[:2] in ((3, 44), (3, 50)):
        return version < ((3, 44, 6) if version[1] == 44 else (3, 50, 7))
    return (3, 7, 0) <= version < (3, 51, 3)


class Sqlite:
    """A file, made if there is none.

    Args:
        path: The file.
        driver: A DB-API module of SQLite; its library's version decides on WAL.
        busy_timeout_s: How long `prepare` waits for another process.

    Raises:
        StorageError: The file cannot be made.
    """

    num_threads = 1  # there is one writer
    num_readers = 1  # who only reads does not wait for the writer, which waits for another process

    def __init__(self, path: Path, *, driver: ModuleType, busy_timeout_s: float) -> None:
        try:
            # A file that is there is not opened here: to close it would take away the locks that
            # another connection of this process holds on it.
            path.touch(mode=0o600)
        except OSError as error:
            raise StorageError(f"the database {path} cannot be made: {error.strerror}") from error
        self._path = path
        self._driver = driver
        self._version: str = driver.sqlite_version
        self._uses_wal = not loses_wal_writes(driver.sqlite_version_info)
        self._busy_timeout_s = busy_timeout_s
        if not self._uses_wal:
            _log.warning(
                "this SQLite may lose writes in WAL mode; a slower and safe mode is used",
                sqlite=self._version,
            )
        self.engine = create_engine(
            URL.create("sqlite", database=str(path)),
            module=driver,
            pool_size=self.num_threads + self.num_readers,
            max_overflow=NUM_SURVEYS + 1,  # and a backup
            pool_timeout=busy_timeout_s,
            hide_parameters=True,  # an error's text is logged
            connect_args={"isolation_level": None},  # `begin` alone begins transactions
        )
        event.listen(
            self.engine, "connect", _make_durable if self._uses_wal else _make_most_durable
        )

    def prepare(self) -> None:
        """Set the journal's mode: it stays in the file, and needs a moment without others."""
        wanted = "wal" if self._uses_wal else "delete"
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                with self.engine.connect() as connection:
                    found = connection.exec_driver_sql(f"PRAGMA journal_mode = {wanted}").scalar()
                break
            except DBAPIError as error:
                if "locked" not in str(error.orig) or time.monotonic() > deadline:
                    raise self.told(error) from error
                time.sleep(0.02)
        if found != wanted:
            raise StorageError(
                f"the disk of {self._path} cannot hold a database in {wanted} mode; use a local one"
            )

    def describe(self) -> str:
        """Version and mode."""
        if self._uses_wal:
            return f"SQLite {self._version}, in WAL mode with full synchronisation"
        return f"SQLite {self._version}, in a slower mode: it may lose writes in WAL mode"

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def backup(self, target: Path) -> None:
        """Write a copy by SQLite's own means, which includes what is only in the journal."""
        try:
            with (
                self.engine.connect() as connection,
                contextlib.closing(self._driver.connect(str(target))) as copy,
            ):
                source: Any = connection.connection.driver_connection
                source.backup(copy)
        except self._driver.Error as error:
            raise StorageError(f"the backup {target} cannot be written: {error}") from error

    def begin(self, connection: Connection, *, readonly: bool, patience_s: float) -> None:
        """Begin; who only reads waits for no writer (in WAL mode)."""
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {round(patience_s * 1000)}")
        # IMMEDIATE: a transaction that reads first and then wants to write would otherwise
        # fail at once when another process writes, whatever the timeout.
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")

    def begin_survey(self, connection: Connection) -> None:
        """Begin a read; in WAL mode it keeps no writer waiting, however long it is."""
        self.begin(connection, readonly=True, patience_s=self._busy_timeout_s)

    def commit(self, connection: Connection, *, readonly: bool, deadline_s: float) -> None:  # noqa: ARG002 - a file in this process leaves no doubt
        """Commit."""
        connection.commit()

    def may_repeat(self, error: DBAPIError) -> bool:  # noqa: ARG002 - as above
        """Never: a lock was waited for already. The connection met a failing disk, perhaps."""
        self.engine.dispose()
        return False

    def told(self, error: DBAPIError) -> StorageError:
        """The driver's error as one that may be shown; the log has the details."""
        cause = str(error.orig)
        _log.error("the database refused a transaction", cause=cause, statement=error.statement)
        if isinstance(error, IntegrityError):
            return StorageError("the database refused a wrong change", code="storage_integrity")
        if "locked" in cause:
            return StorageError(
                "the database is busy; try again in a moment", retry_after_s=_RETRY_BUSY_S
            )
        if "full" in cause:
            return StorageError(
                "the disk of the data folder is full", retry_after_s=_RETRY_BROKEN_S
            )
        if "not a database" in cause:
            return StorageError("the database file is no database, or is damaged")
        if "unable to open" in cause:
            return StorageError("the database file cannot be opened", retry_after_s=_RETRY_BROKEN_S)
        return StorageError(
            "the database cannot be read or written; the log says why",
            retry_after_s=_RETRY_BROKEN_S,
        )


def _make_durable(connection: Any, _record: object) -> None:
    """WAL: what is committed survives a power cut from `synchronous` FULL on."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _make_most_durable(connection: Any, _record: object) -> None:
    """A rollback journal: EXTRA also makes the journal's deletion durable."""
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("PRAGMA foreign_keys = ON")
