"""What only PostgreSQL can do to a transaction: break off, deadlock, run out of connections."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from photogram.core.errors import StorageError
from photogram.storage.database import Database
from photogram.storage.tables.ledger import account
from tests.postgres import Cluster
from tests.unit.storage.breaking import BreakingProxy
from tests.unit.storage.stocked import Stock, execute, open_stock

COMMIT = b"COMMIT\0"  # the whole message, which the words of a BEGIN are not


@pytest.fixture
def stock(postgres: Cluster) -> Iterator[Stock]:
    with postgres.database() as url, open_stock(url, amount_micro=1_000) as opened:
        yield opened


@pytest.mark.parametrize("is_forwarded", [True, False])
def test_a_connection_that_breaks_at_a_commit_leaves_no_doubt(
    postgres: Cluster, stock: Stock, tmp_path: Path, is_forwarded: bool
) -> None:
    """Whether the server got the word or not, the grant is given, and once."""
    with BreakingProxy(tmp_path, postgres.socket) as proxy:
        database = Database.open(stock.url.replace(str(postgres.socket.parent), str(tmp_path)))
        proxy.break_at(COMMIT, is_forwarded=is_forwarded)
        database.transact(execute, "UPDATE account SET name = name || '-2' WHERE name LIKE 'ann%%'")
        assert proxy.num_broken == 1
        database.close()
    assert stock.accounts.account_id("ann-2") == stock.customer.account_id


def test_a_commit_that_nobody_can_ask_about_is_told_as_such(
    postgres: Cluster, stock: Stock, tmp_path: Path
) -> None:
    with BreakingProxy(tmp_path, postgres.socket) as proxy:
        url = stock.url.replace(str(postgres.socket.parent), str(tmp_path))
        database = Database.open(url, patience_s=0.5)
        proxy.break_at(COMMIT, is_forwarded=True, is_for_good=True)
        with pytest.raises(StorageError, match="whether it was done is unknown") as told:
            database.transact(execute, "UPDATE account SET name = 'zoe' WHERE name = 'ann'")
        assert told.value.error_code == "storage_outcome_unknown"
        database.close()
    assert stock.accounts.account_id("zoe") == stock.customer.account_id


def test_a_connection_that_breaks_before_the_commit_is_made_again(
    postgres: Cluster, stock: Stock
) -> None:
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'photogram'"
    calls = []

    def work(connection: Connection) -> None:
        execute(connection, "UPDATE account SET name = name || '-2' WHERE name LIKE 'ann%%'")
        calls.append(connection)
        if len(calls) == 1:
            postgres.execute(kill)
            execute(connection, "SELECT 1")

    stock.database.transact(work)
    assert len(calls) == 2
    assert stock.accounts.account_id("ann-2") == stock.customer.account_id


def test_of_two_in_a_deadlock_one_is_done_again(stock: Stock) -> None:
    stock.accounts.ensure_account("bob")
    barrier, calls = threading.Barrier(2), []

    def rename(connection: Connection, first: str, second: str) -> None:
        for name in (first, second):
            connection.execute(
                update(account).where(account.c.name == name).values(kind="customer")
            )
            if name == first and len(calls) < 2:
                calls.append(name)
                barrier.wait(10)

    with ThreadPoolExecutor(2) as callers:
        pair = [
            callers.submit(stock.database.transact, rename, *names)
            for names in (("ann", "bob"), ("bob", "ann"))
        ]
        assert [future.result() for future in pair] == [None, None]


def test_without_a_connection_left_callers_wait_a_while_and_are_told(
    postgres: Cluster, stock: Stock
) -> None:
    postgres.execute("DROP ROLE IF EXISTS small")
    postgres.execute("CREATE ROLE small LOGIN CONNECTION LIMIT 1")
    stock.database.transact(execute, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO small")
    database = Database.open(
        stock.url.replace("photogram@", "small@"), patience_s=0.5, num_connections=2
    )
    go_on = threading.Event()
    with ThreadPoolExecutor(2) as callers:

        def read(connection: Connection) -> None:
            execute(connection, "SELECT 1")
            go_on.wait(10)

        pair = [callers.submit(database.transact, read, readonly=True) for _ in range(2)]
        with pytest.raises(StorageError, match="cannot be reached") as refused:
            next(as_completed(pair)).result()
        assert refused.value.retry_after_s is not None
        go_on.set()
    database.close()
    stock.database.transact(execute, "DROP OWNED BY small")
    postgres.execute("DROP ROLE small")


def test_every_transaction_ends_within_its_time(stock: Stock) -> None:
    def limits(connection: Connection) -> list[str]:
        names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        return [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]

    lock, statement, idle = stock.database.transact(limits)
    assert (statement, idle) == ("10s", "15s")
    assert 0 < int(lock.removesuffix("ms").removesuffix("s")) <= 5000
    assert stock.database.survey(limits)[1] == "0"  # but for a survey


def test_who_only_reads_sees_one_moment_and_writes_nothing(stock: Stock) -> None:
    def count_twice(connection: Connection) -> tuple[int, int]:
        query = "SELECT COUNT(*) FROM account"
        first = connection.exec_driver_sql(query).scalar_one()
        stock.accounts.ensure_account("new")
        return first, connection.exec_driver_sql(query).scalar_one()

    first, second = stock.database.transact(count_twice, readonly=True)
    assert first == second
    with pytest.raises(StorageError, match="can only be read"):
        stock.database.transact(execute, "DELETE FROM job", readonly=True)


def test_a_database_that_cannot_keep_all_texts_is_refused(postgres: Cluster) -> None:
    postgres.execute("CREATE DATABASE narrow TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    with pytest.raises(StorageError, match="encoding is SQL_ASCII; UTF8 is needed"):
        Database.open(postgres.url("narrow"))
    postgres.execute("DROP DATABASE narrow WITH (FORCE)")


def test_what_cannot_be_reached_is_told_without_its_password(
    postgres: Cluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StorageError, match='database "nothing" does not exist'):
        Database.open(postgres.url("nothing"))
    with pytest.raises(StorageError, match="cannot be reached") as refused:
        Database.open(f"postgresql://ann:s3cret@/x?host={tmp_path}")
    assert "s3cret" not in "".join((str(refused.value), *capfd.readouterr()))


def test_a_refused_row_is_not_logged(stock: Stock, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StorageError):
        stock.database.transact(execute, "UPDATE account SET kind = 'x' WHERE name = 'ann'")
    logged = "".join(capfd.readouterr())
    assert "violates check constraint" in logged
    assert stock.customer.account_id not in logged


def test_it_is_described_without_its_password(stock: Stock) -> None:
    with_password = Database.open(stock.url.replace("photogram@", "photogram:s3cret@"))
    assert "s3cret" not in with_password.describe()
    assert with_password.describe().startswith("PostgreSQL 18")
    with_password.close()
