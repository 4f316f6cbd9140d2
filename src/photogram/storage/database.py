"""Transactions: a short function goes in, and has happened wholly or not at all when it comes out.

All work runs on one thread of its own: a cancelled asyncio task stops waiting, but never tears a
transaction (drivers for asyncio do). SQLite has one writer anyway, and other processes, such as the
CLI, use the same file at the same time. It knows nothing of what the functions do.

Source: https://sqlite.org/wal.html#walresetbug for the versions that may lose committed writes.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar, TypeVarTuple

import structlog
from pysqlite3 import dbapi2
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError

from photogram.core.errors import StorageError
from photogram.storage import tables

_BUSY_TIMEOUT_S: Final = 5.0
_BUSY_TIMEOUT_MIN_S: Final = 0.01
_RETRY_BUSY_S: Final = 1.0
_RETRY_BROKEN_S: Final = 10.0

T = TypeVar("T")
Args = TypeVarTuple("Args")

_log = structlog.get_logger(__name__)


def loses_wal_writes(version: tuple[int, ...]) -> bool:
    """Whether this SQLite may lose committed writes in WAL mode with two connections.

    Versions 3.7.0 to 3.51.2, but for the back-ports 3.44.6 and 3.50.7.
    """
    if version[:2] in ((3, 44), (3, 50)):
        return version < ((3, 44, 6) if version[1] == 44 else (3, 50, 7))
    return (3, 7, 0) <= version < (3, 51, 3)


class Database:
    """One SQLite file. Use `open`; `run` from asyncio, `transact` from plain code.

    A `fn` gets the connection first; it must be short, must not commit, and must not call the
    database again (it would wait for itself).
    """

    def __init__(self, path: Path, engine: Engine, *, busy_timeout_s: float) -> None:
        self._path = path
        self._engine = engine
        self._busy_timeout_s = busy_timeout_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")

    @classmethod
    def open(
        cls, path: Path, *, driver: ModuleType = dbapi2, busy_timeout_s: float = _BUSY_TIMEOUT_S
    ) -> "Database":
        """Open the file, and make it and its tables if there is none.

        Args:
            path: The file.
            driver: A DB-API module of SQLite; its library's version decides on WAL.
            busy_timeout_s: How long a transaction waits for another process's.

        Raises:
            StorageError: It cannot be read or written, is no database, or is a newer Photogram's.
        """
        try:
            # A file that is there is not opened here: to close it would take away the locks that
            # another connection of this process holds on it.
            path.touch(mode=0o600)
        except OSError as error:
            raise StorageError(f"the database {path} cannot be made: {error.strerror}") from error
        use_wal = not loses_wal_writes(driver.sqlite_version_info)
        if not use_wal:
            _log.warning(
                "this SQLite may lose writes in WAL mode; a slower and safe mode is used",
                sqlite=driver.sqlite_version,
            )
        engine = create_engine(
            URL.create("sqlite", database=str(path)),
            module=driver,
            pool_size=1,
            max_overflow=0,
            hide_parameters=True,  # an error's text is logged
            connect_args={"isolation_level": None},  # this module alone begins transactions
        )
        event.listen(engine, "connect", _make_durable if use_wal else _make_most_durable)
        database = cls(path, engine, busy_timeout_s=busy_timeout_s)
        try:
            database._prepare("wal" if use_wal else "delete")
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        """Wait for the transaction that runs, and close the file."""
        self._thread.submit(self._engine.dispose).result()
        self._thread.shutdown()

    async def run(
        self, fn: Callable[[Connection, *Args], T], *args: *Args, readonly: bool = False
    ) -> T:
        """`fn(connection, *args)` in one transaction; a cancelled caller does not undo it.

        Args:
            fn: What to do; what it raises rolls back and is raised here.
            *args: Its arguments.
            readonly: It only reads: it sees one snapshot, and waits for no writer.

        Raises:
            StorageError: The disk is full, the database is busy or broken; nothing has happened.
        """
        future = self._submit(fn, *args, readonly=readonly)
        return await asyncio.shield(asyncio.wrap_future(future))

    def transact(
        self, fn: Callable[[Connection, *Args], T], *args: *Args, readonly: bool = False
    ) -> T:
        """`run` for code without an event loop: the CLI and the start of the server."""
        return self._submit(fn, *args, readonly=readonly).result()

    async def ping(self) -> None:
        """Write something harmless, durably.

        Raises:
            StorageError: The database cannot be written now.
        """
        await self.run(_write_version)

    def _submit(
        self, fn: Callable[[Connection, *Args], T], *args: *Args, readonly: bool
    ) -> Future[T]:
        # The wait for another process's lock counts from here: however many calls queue up behind
        # a locked database, all of them are answered after one timeout, not one after the other.
        deadline = time.monotonic() + self._busy_timeout_s

        def transaction() -> T:
            try:
                return self._transaction(deadline, fn, *args, readonly=readonly)
            except DBAPIError as error:
                # A connection that met a full or failing disk is not trusted again.
                self._engine.dispose()
                raise _told(error) from error

        return self._thread.submit(transaction)

    def _transaction(
        self,
        deadline: float,
        fn: Callable[[Connection, *Args], T],
        *args: *Args,
        readonly: bool,
    ) -> T:
        patience_s = max(deadline - time.monotonic(), _BUSY_TIMEOUT_MIN_S)
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {round(patience_s * 1000)}")
            # IMMEDIATE: a transaction that reads first and then wants to write would otherwise
            # fail at once when another process writes, whatever the timeout.
            connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")
            result = fn(connection, *args)
            connection.commit()
        return result

    def _prepare(self, journal_mode: str) -> None:
        try:
            self._thread.submit(self._set_journal_mode, journal_mode).result()
        except DBAPIError as error:
            raise _told(error) from error
        self.transact(_make_current, self._path)

    def _set_journal_mode(self, wanted: str) -> None:
        """The mode stays in the file; changing it needs a moment without other connections."""
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                with self._engine.connect() as connection:
                    found = connection.exec_driver_sql(f"PRAGMA journal_mode = {wanted}").scalar()
                break
            except DBAPIError as error:
                if "locked" not in str(error.orig) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        if found != wanted:
            raise StorageError(
                f"the disk of {self._path} cannot hold a database in {wanted} mode; use a local one"
            )


def _make_durable(connection: Any, _record: object) -> None:
    """WAL: what is committed survives a power cut from `synchronous` FULL on."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _make_most_durable(connection: Any, _record: object) -> None:
    """A rollback journal: EXTRA also makes the journal's deletion durable."""
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("PRAGMA foreign_keys = ON")


def _write_version(connection: Connection) -> None:
    connection.exec_driver_sql(f"PRAGMA user_version = {tables.SCHEMA_VERSION}")


def _make_current(connection: Connection, path: Path) -> None:
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version > tables.SCHEMA_VERSION:
        raise StorageError(
            f"the database {path} was made by a newer Photogram (schema {version};"
            f" this one knows {tables.SCHEMA_VERSION}); use that version"
        )
    if version == 0:
        tables.create_schema(connection)
        _write_version(connection)


def _told(error: DBAPIError) -> StorageError:
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
        return StorageError("the disk of the data folder is full", retry_after_s=_RETRY_BROKEN_S)
    if "not a database" in cause:
        return StorageError("the database file is no database, or is damaged")
    if "unable to open" in cause:
        return StorageError("the database file cannot be opened", retry_after_s=_RETRY_BROKEN_S)
    return StorageError(
        "the database cannot be read or written; the log says why", retry_after_s=_RETRY_BROKEN_S
    )
