"""Transactions: a short function goes in, and has happened wholly or not at all when it comes out.

All work runs on threads of its own: a cancelled asyncio task stops waiting, but never tears a
transaction (drivers for asyncio do). SQLite gets one thread that writes, since it has one writer,
and one that reads meanwhile; PostgreSQL as many as connections. Long reads have threads and
connections of their own, and wait for each other alone. Other processes, such as the CLI, use the
same database at the same time. It knows nothing of what the functions do, nor of what SQLite and
PostgreSQL do differently.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Final, TypeVar, TypeVarTuple

from pysqlite3 import dbapi2
from sqlalchemy import Connection, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from photogram.core.errors import StorageError
from photogram.storage import schema
from photogram.storage.backend import NUM_SURVEYS, Backend
from photogram.storage.files import new_file
from photogram.storage.postgres import Postgres
from photogram.storage.sqlite import Sqlite

_PATIENCE_S: Final = 5.0
_PATIENCE_MIN_S: Final = 0.01
_RETRY_FIRST_S: Final = 0.01
_RETRY_MOST_S: Final = 0.5
_NUM_CONNECTIONS: Final = 8
_BUSY: Final = "the database is busy; try again in a moment"
_RETRY_BUSY_S: Final = 1.0

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Database:
    """One database. Use `open`; `run` from asyncio, `transact` from plain code.

    A `fn` gets the connection first; it must be short, must not commit, must not call the database
    again (it would wait for itself), and must do nothing but SQL, since it may be called again
    when another transaction was in its way.
    """

    def __init__(self, backend: Backend, *, patience_s: float) -> None:
        self._backend = backend
        self._patience_s = patience_s
        self._threads = ThreadPoolExecutor(backend.num_threads, thread_name_prefix="database")
        self._readers = (
            ThreadPoolExecutor(backend.num_readers, thread_name_prefix="reader")
            if backend.num_readers
            else self._threads
        )
        self._surveyors = ThreadPoolExecutor(NUM_SURVEYS, thread_name_prefix="survey")

    @classmethod
    def open(
        cls,
        url: str,
        *,
        may_upgrade: bool = False,
        driver: ModuleType = dbapi2,
        patience_s: float = _PATIENCE_S,
        num_connections: int = _NUM_CONNECTIONS,
    ) -> "Database":
        """Open a database; make it (a SQLite file) and its tables if there are none.

        Args:
            url: ``sqlite:///PATH`` or ``postgresql://...``.
            may_upgrade: Bring the schema of an older Photogram up to date; nobody else may be
                using the database then.
            driver: A DB-API module of SQLite; its library's version decides on WAL.
            patience_s: How long a transaction waits for the locks of others.
            num_connections: Of PostgreSQL: how many transactions may run at once.

        Raises:
            StorageError: It cannot be reached, read or written, is no database, or is another
                version's.
        """
        parsed = make_url(url)
        backend: Backend
        if parsed.get_backend_name() == "sqlite":
            path = Path(parsed.database or "")
            backend = Sqlite(path, driver=driver, busy_timeout_s=patience_s)
        else:
            backend = Postgres(parsed, num_connections=num_connections)
        database = cls(backend, patience_s=patience_s)
        try:
            database._threads.submit(backend.prepare).result()
            if database.transact(schema.needs_upgrade, readonly=True):
                database.transact(schema.upgrade, may_upgrade)
        except BaseException:
            database.close()
            raise
        return database

    def describe(self) -> str:
        """What it is, for people; without secrets."""
        return self._backend.describe()

    def backup(self, target: Path) -> None:
        """Write a copy of one moment to a new file, while others go on.

        Raises:
            ConfigurationError: The program that PostgreSQL needs for it is not installed.
            StorageError: The file is there already, or cannot be written.
        """
        try:
            with new_file(target) as draft:
                self._backend.backup(draft)
        except FileExistsError:
            raise StorageError(f"{target} is there already; it was left as it is") from None
        except OSError as error:
            raise StorageError(f"{target} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Wait for the transactions that run, and close all connections."""
        self._surveyors.shutdown(cancel_futures=True)
        self._readers.shutdown()
        self._threads.shutdown()
        self._backend.close()

    async def run(
        self, fn: Callable[[Connection, *Args], T], *args: *Args, readonly: bool = False
    ) -> T:
        """`fn(connection, *args)` in one transaction; a cancelled caller does not undo it.

        Args:
            fn: What to do; what it raises rolls back and is raised here.
            *args: Its arguments.
            readonly: It only reads: it sees one snapshot, and waits for no writer.

        Raises:
            StorageError: The disk is full, the database is busy or broken; nothing has happened,
                but for code ``storage_outcome_unknown``.
        """
        future = self._submit(fn, *args, readonly=readonly)
        return await asyncio.shield(asyncio.wrap_future(future))

    def transact(
        self, fn: Callable[[Connection, *Args], T], *args: *Args, readonly: bool = False
    ) -> T:
        """`run` for code without an event loop: the CLI and the start of the server."""
        return self._submit(fn, *args, readonly=readonly).result()

    def survey(self, fn: Callable[[Connection, *Args], T], *args: *Args) -> T:
        """A long read of one snapshot; it keeps no transaction waiting, and few run at once.

        Raises:
            StorageError: The database is busy or broken.
        """
        return self._submit_survey(fn, *args).result()

    async def browse(self, fn: Callable[[Connection, *Args], T], *args: *Args) -> T:
        """`survey` from asyncio; a cancelled caller stops waiting."""
        return await asyncio.shield(asyncio.wrap_future(self._submit_survey(fn, *args)))

    async def ping(self) -> None:
        """Write something harmless, durably.

        Raises:
            StorageError: The database cannot be written now.
        """
        await self.run(schema.touch)

    def _submit(
        self, fn: Callable[[Connection, *Args], T], *args: *Args, readonly: bool
    ) -> Future[T]:
        # The wait for the locks of others counts from here: however many calls queue up behind a
        # locked database, all of them are answered after one timeout, not one after the other.
        deadline = time.monotonic() + self._patience_s

        def transaction() -> T:
            delay_s = _RETRY_FIRST_S
            while True:
                try:
                    return self._transaction(deadline, fn, *args, readonly=readonly)
                except DBAPIError as error:
                    if not self._backend.may_repeat(error) or time.monotonic() + delay_s > deadline:
                        raise self._backend.told(error) from error
                except NoConnectionError as error:
                    raise StorageError(_BUSY, retry_after_s=_RETRY_BUSY_S) from error
                time.sleep(delay_s)
                delay_s = min(2 * delay_s, _RETRY_MOST_S)

        return (self._readers if readonly else self._threads).submit(transaction)

    def _submit_survey(self, fn: Callable[[Connection, *Args], T], *args: *Args) -> Future[T]:
        def read() -> T:
            try:
                with self._backend.engine.connect() as connection:
                    self._backend.begin_survey(connection)
                    return fn(connection, *args)
            except DBAPIError as error:
                raise self._backend.told(error) from error
            except NoConnectionError as error:
                raise StorageError(_BUSY, retry_after_s=_RETRY_BUSY_S) from error

        return self._surveyors.submit(read)

    def _transaction(
        self,
        deadline: float,
        fn: Callable[[Connection, *Args], T],
        *args: *Args,
        readonly: bool,
    ) -> T:
        patience_s = max(deadline - time.monotonic(), _PATIENCE_MIN_S)
        with self._backend.engine.connect() as connection:
            self._backend.begin(connection, readonly=readonly, patience_s=patience_s)
            result = fn(connection, *args)
            self._backend.commit(connection, readonly=readonly, deadline_s=deadline)
        return result
