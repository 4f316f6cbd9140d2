import asyncio
import contextlib
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pysqlite3 import dbapi2
from sqlalchemy import Connection

from photogram.core.errors import ConflictError, StorageError
from photogram.ledger.service import LedgerService
from photogram.storage import installation, schema
from photogram.storage.backend import NUM_SURVEYS
from photogram.storage.database import Database
from photogram.storage.sqlite import loses_wal_writes
from tests.databases import sqlite_url
from tests.unit.storage.stocked import Stock, execute, open_stock

# "Another process" is a second connection of the same library here: within one process, another
# SQLite library would not see the locks on a file. True processes are in tests/integration.


def _pragma(connection: Connection, name: str) -> object:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a SQLite file may be."""
    return tmp_path / "test.sqlite3"


@pytest.fixture
def sqlite_stock(tmp_path: Path) -> Iterator[Stock]:
    with open_stock(sqlite_url(tmp_path), amount_micro=1_000_000) as opened:
        yield opened


def _account_names(connection: Connection) -> set[str]:
    return set(connection.exec_driver_sql("SELECT name FROM account").scalars())


def _num_keys(connection: Connection) -> int:
    return connection.exec_driver_sql("SELECT COUNT(*) FROM api_key").scalar_one()


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 4), False),
        ((4, 0, 0), False),
    ],
)
def test_versions_that_lose_wal_writes_are_known(version: tuple[int, ...], affected: bool) -> None:
    assert loses_wal_writes(version) is affected


def test_a_sound_library_is_used_in_wal_and_with_full_syncs(sqlite_stock: Stock) -> None:
    read = {
        name: sqlite_stock.database.transact(_pragma, name, readonly=True)
        for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert read == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert "in WAL mode" in sqlite_stock.database.describe()


def test_an_affected_library_is_used_without_wal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Affected:
        """The library of the interpreter, which says that it is an affected one."""

        sqlite_version_info = (3, 40, 1)
        sqlite_version = "3.40.1"

        def __getattr__(self, name: str) -> object:
            return getattr(sqlite3, name)

    database = Database.open(sqlite_url(tmp_path), driver=Affected())  # type: ignore[arg-type]
    assert database.transact(_pragma, "journal_mode") == "delete"
    assert database.transact(_pragma, "synchronous") == 3
    assert "may lose writes" in database.describe()
    database.close()
    assert "may lose writes" in capsys.readouterr().out


def test_the_file_is_for_its_owner_alone(tmp_path: Path, path: Path) -> None:
    database = Database.open(sqlite_url(tmp_path))
    files = list(tmp_path.glob("test.sqlite3*"))
    assert path in files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    database.close()
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_committed_is_there_after_reopening(database_url: str) -> None:
    with open_stock(database_url, amount_micro=5) as stock:
        account_id = stock.customer.account_id
    database = Database.open(database_url)
    assert LedgerService(database).balance(account_id) == 5
    database.close()


def test_an_error_of_the_work_undoes_it_and_comes_out_as_it_is(stock: Stock) -> None:
    def write_and_fail(connection: Connection) -> None:
        execute(connection, "UPDATE api_key SET revoked_at = '2026-01-01'")
        raise ConflictError("no")

    with pytest.raises(ConflictError, match="no"):
        stock.database.transact(write_and_fail)
    assert stock.accounts.list_keys()[0].revoked_at is None


async def test_a_cancelled_caller_does_not_tear_a_transaction(stock: Stock) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(connection: Connection) -> None:
        execute(connection, "UPDATE account SET name = 'half' WHERE kind = 'customer'")
        begun.set()
        go_on.wait(10)
        execute(connection, "UPDATE account SET name = 'whole' WHERE kind = 'customer'")

    task = asyncio.create_task(stock.database.run(work))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    async with asyncio.timeout(10):
        while "whole" not in (names := await stock.database.run(_account_names, readonly=True)):
            assert "half" not in names
            await asyncio.sleep(0.01)


async def test_a_cancelled_caller_does_not_undo_what_still_waits_its_turn(
    sqlite_stock: Stock,
) -> None:
    go_on = threading.Event()
    first = asyncio.create_task(sqlite_stock.database.run(lambda _connection: go_on.wait(10)))
    rename = "UPDATE account SET name = 'renamed' WHERE kind = 'customer'"
    second = asyncio.create_task(sqlite_stock.database.run(execute, rename))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await asyncio.sleep(0)
    go_on.set()
    await first
    await sqlite_stock.database.run(_num_keys)  # writes take their turns
    assert await asyncio.to_thread(sqlite_stock.accounts.account_id, "renamed")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, path: Path) -> None:
    path.write_bytes(b"not at all a database" * 100)
    with pytest.raises(StorageError, match="is no database, or is damaged"):
        Database.open(sqlite_url(tmp_path))


def test_a_path_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        Database.open(f"sqlite:///{tmp_path}")
    with pytest.raises(StorageError, match=f"{tmp_path}/none/test.sqlite3 cannot be made"):
        Database.open(sqlite_url(tmp_path / "none"))


def test_an_error_that_no_one_expected_is_no_drivers_error(stock: Stock) -> None:
    with pytest.raises(StorageError, match="the log says why") as refused:
        stock.database.transact(execute, "SELECT * FROM nothing")
    assert refused.value.retry_after_s is not None


async def test_ping_writes(stock: Stock) -> None:
    await stock.database.ping()


def _lock(connection: Connection, locked: threading.Event, go_on: threading.Event) -> None:
    """Keep what `ping` needs, until told."""
    schema.touch(connection)
    locked.set()
    go_on.wait(10)


async def test_all_who_wait_for_a_locked_database_are_answered_after_one_timeout(
    database_url: str,
) -> None:
    database = Database.open(database_url, patience_s=0.3)
    other, go_on = Database.open(database_url), threading.Event()
    locked = threading.Event()
    holding = asyncio.create_task(other.run(_lock, locked, go_on))
    await asyncio.to_thread(locked.wait, 10)
    begin = time.perf_counter()
    answers = await asyncio.gather(*(database.ping() for _ in range(10)), return_exceptions=True)
    assert time.perf_counter() - begin < 1.0
    assert {type(answer) for answer in answers} == {StorageError}
    assert all("busy" in str(answer) for answer in answers)
    # Who only reads does not wait for a writer.
    assert await database.run(_num_keys, readonly=True) == 0
    go_on.set()
    await holding
    other.close()
    await database.ping()
    database.close()


async def test_a_short_lock_only_takes_time(stock: Stock) -> None:
    other, go_on, locked = Database.open(stock.url), threading.Event(), threading.Event()
    holding = asyncio.create_task(other.run(_lock, locked, go_on))
    await asyncio.to_thread(locked.wait, 10)
    timer = threading.Timer(0.3, go_on.set)
    timer.start()
    await stock.database.ping()
    await holding
    timer.join()
    other.close()


def test_a_mode_that_another_process_keeps_is_refused(tmp_path: Path, path: Path) -> None:
    url = sqlite_url(tmp_path)
    Database.open(url).close()
    other = dbapi2.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode = DELETE")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="busy"):
        Database.open(url, patience_s=0.1)
    other.execute("ROLLBACK")
    other.close()
    Database.open(url, patience_s=0.1).close()


def test_a_disk_that_cannot_hold_the_mode_is_refused(tmp_path: Path) -> None:
    class NetworkDisk:
        """SQLite on a disk without shared memory, as over a network."""

        def connect(self, path: str, **options: object) -> object:
            return dbapi2.connect(f"file:{path}?vfs=unix-dotfile", uri=True, **options)

        def __getattr__(self, name: str) -> object:
            return getattr(dbapi2, name)

    with pytest.raises(StorageError, match="cannot hold a database in wal mode"):
        Database.open(sqlite_url(tmp_path), driver=NetworkDisk())  # type: ignore[arg-type]


def test_however_many_surveys_there_are_transactions_go_on(stock: Stock) -> None:
    begun, may_end = threading.Semaphore(0), threading.Event()

    def survey(connection: Connection) -> int:
        begun.release()
        may_end.wait(30)
        return _num_keys(connection)

    num = NUM_SURVEYS + 2
    with ThreadPoolExecutor(num) as threads:
        surveys = [threads.submit(stock.database.survey, survey) for _ in range(num)]
        for _ in range(NUM_SURVEYS):
            assert begun.acquire(timeout=30)
        try:
            stock.grant(1)
            assert not begun.acquire(blocking=False)  # the others wait for the first
        finally:
            may_end.set()
        assert [each.result() for each in surveys] == [1] * num


def test_a_pool_without_a_free_connection_is_a_storage_error(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}", patience_s=0.05)
    connections = [database._backend.engine.connect() for _ in range(NUM_SURVEYS + 3)]
    try:
        with pytest.raises(StorageError, match="busy") as refused:
            database.transact(_num_keys)
        assert refused.value.retry_after_s
        with pytest.raises(StorageError, match="busy"):
            database.survey(_num_keys)
    finally:
        for each in connections:
            each.close()
    assert database.transact(_num_keys) == 0
    database.close()


async def test_a_cancelled_reader_harms_nobody(stock: Stock) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def read(_connection: Connection) -> None:
        begun.set()
        may_end.wait(30)

    reading = asyncio.create_task(stock.database.browse(read))
    await asyncio.to_thread(begun.wait, 30)
    reading.cancel()
    await asyncio.wait({reading})
    may_end.set()
    assert await stock.database.browse(_num_keys) == 1


def test_a_database_has_one_id(stock: Stock) -> None:
    first = stock.database.transact(installation.database_id)
    with contextlib.closing(Database.open(stock.url)) as other:
        assert other.transact(installation.database_id) == first
