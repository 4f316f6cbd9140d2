"""Schemas: made, upgraded from the first release's, compared with the code, and refused."""

import contextlib
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pysqlite3 import dbapi2
from sqlalchemy import Connection

from photogram.accounts.service import AccountService
from photogram.core.errors import StorageError
from photogram.ledger.service import LedgerService
from photogram.storage import schema
from photogram.storage.database import Database
from photogram.storage.guards import missing_guards
from photogram.storage.tables.collection import metadata
from tests.databases import sqlite_url
from tests.postgres import Cluster
from tests.unit.storage.stocked import PEPPER, Stock, execute, open_stock, take_over_all

FIRST = Path(__file__).parent / "first_schema.sql"
ANN = "ann"
ANNS_TOKEN = "phg_live_UcXHeQCj_L2rYIzNKLvys4ZlbMcl2rbOdTf1MTGI2ZlKRL1z41Dq2Us3oR"


@pytest.fixture
def first(tmp_path: Path) -> str:
    """A database just as the first release left it, with jobs of every state."""
    with contextlib.closing(dbapi2.connect(tmp_path / "test.sqlite3")) as connection:
        connection.executescript(FIRST.read_text())
    return sqlite_url(tmp_path)


def _rows(connection: Connection, table: str, columns: str) -> list[tuple[object, ...]]:
    query = f"SELECT {columns} FROM {table} ORDER BY id"  # noqa: S608 - this test's own words
    return [tuple(row) for row in connection.exec_driver_sql(query)]


async def test_the_first_releases_database_is_upgraded_without_loss(
    first: str, tmp_path: Path
) -> None:
    with contextlib.closing(dbapi2.connect(tmp_path / "test.sqlite3")) as connection:
        before = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()  # noqa: S608 - as above
            for table in ("account", "api_key", "transfer", "job")
        }
        columns = {
            table: ", ".join(
                row[1] for row in connection.execute(f"PRAGMA table_info({table})").fetchall()
            )
            for table in before
        }
    database = Database.open(first, may_upgrade=True)
    for table, rows in before.items():
        assert database.transact(_rows, table, columns[table]) == rows
    ledger, accounts = LedgerService(database), AccountService(database, PEPPER)
    report = ledger.check()
    assert (report.violations, report.num_accounts, report.num_open_holds) == ((), 2, 2)
    assert ledger.balance(accounts.account_id(ANN)) == 99_930_789
    principal = await accounts.authenticate(ANNS_TOKEN)
    assert principal.account_id == accounts.account_id(ANN)
    assert (await ledger.spendable(principal.account_id)).free_micro == 0
    assert take_over_all(database) == 2
    assert ledger.refund("partly", actor="test", reason="test") == 10_000
    assert ledger.check().is_ok
    database.close()
    Database.open(first).close()


def test_an_older_schema_is_refused_unless_asked(first: str) -> None:
    with pytest.raises(StorageError, match=r"older Photogram's \(schema 0001.*photogram db upgr"):
        Database.open(first)


def test_an_upgrade_that_fails_changes_nothing(first: str, tmp_path: Path) -> None:
    with contextlib.closing(dbapi2.connect(tmp_path / "test.sqlite3")) as connection:
        connection.execute("CREATE TABLE job_step (id INTEGER)")  # in the second revision's way
        before = connection.execute("SELECT * FROM sqlite_master").fetchall()
        with pytest.raises(StorageError):
            Database.open(first, may_upgrade=True)
        assert connection.execute("SELECT * FROM sqlite_master").fetchall() == before


def test_the_first_release_refuses_what_was_upgraded(stock: Stock) -> None:
    if stock.url.startswith("sqlite"):
        number = stock.database.transact(
            lambda connection: connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        )
        assert number > 1


def test_a_newer_schema_is_refused(stock: Stock) -> None:
    stock.database.transact(execute, "UPDATE alembic_version SET version_num = '9000'")
    with pytest.raises(StorageError, match=r"made by a newer Photogram \(schema 9000"):
        Database.open(stock.url, may_upgrade=True)
    stock.database.transact(execute, "UPDATE alembic_version SET version_num = '0004'")


def test_what_the_revisions_make_is_what_the_code_believes(stock: Stock) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, metadata))

    assert stock.database.transact(differences) == []
    assert stock.database.transact(missing_guards) == []
    assert stock.database.transact(schema.problems) == []


def test_the_newest_revision_is_the_one_that_is_asked_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema._MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


def test_an_empty_postgresql_gets_its_tables_once(postgres: Cluster) -> None:
    with postgres.empty_database() as url:
        with open_stock(url, amount_micro=5):
            pass
        database = Database.open(url)
        assert LedgerService(database).check().num_transfers == 1
        database.close()


def test_problems_are_told_one_by_one(breakable_stock: Stock) -> None:
    is_sqlite = breakable_stock.url.startswith("sqlite")
    breakable_stock.database.transact(execute, "DROP TABLE job" + ("" if is_sqlite else " CASCADE"))
    place = "" if is_sqlite else " ON transfer"
    breakable_stock.database.transact(execute, f"DROP TRIGGER transfer_never_goes{place}")
    assert breakable_stock.database.survey(schema.problems) == [
        "the table job is missing",
        "the guard job_goes_forward is missing",
        "the guard job_is_never_taken_back is missing",
        "the guard job_starts_queued is missing",
        "the guard transfer_never_goes is missing",
    ]
