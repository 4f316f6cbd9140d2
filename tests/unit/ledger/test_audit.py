"""Every rule is broken once, by an operator who first took the database's own guards away."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pysqlite3 import dbapi2
from sqlalchemy import Connection

from photogram.generation import repository as jobs
from photogram.generation.states import JobState
from photogram.storage.guards import missing_guards
from tests.unit.storage.stocked import Stock, open_stock

OPEN, SETTLED, RELEASED = "job-open", "job-settled", "job-released"


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[Stock]:
    """A customer with a grant and one job of each kind."""
    with open_stock(tmp_path / "test.sqlite3", amount_micro=1_000) as opened:
        for job_id in (OPEN, SETTLED, RELEASED):
            opened.admit(100, job_id)
        opened.database.transact(jobs.succeed, SETTLED, 60)
        opened.database.transact(jobs.fail, RELEASED, JobState.FAILED, "test")
        yield opened


def _break(path: Path, statement: str) -> None:
    """Run a statement with no guard, no CHECK, no foreign key and no index in its way."""
    connection = dbapi2.connect(path, isolation_level=None)
    guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    found = guards.fetchall()
    for name, _ in found:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("DROP INDEX one_resolution_per_hold")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    assert connection.execute(statement).rowcount > 0
    for _, sql in found:
        connection.execute(sql)
    connection.close()


def test_all_rules_hold_to_begin_with(stock: Stock) -> None:
    assert stock.ledger.check().violations == ()
    assert stock.balance() == 1_000 - 100 - 60


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (
            "UPDATE account SET debits_posted = debits_posted + 1 WHERE kind = 'customer'",
            "all debits posted are 1061, all credits posted 1060",
        ),
        (
            "UPDATE account SET credits_pending = 99 WHERE id = 'revenue'",
            "all debits pending are 100, all credits pending 99",
        ),
        (
            "UPDATE account SET credits_posted = 0 WHERE kind = 'customer'",
            "account {customer} is below zero",
        ),
        (
            "UPDATE transfer SET amount_micro = 999 WHERE phase = 'single'",
            "account issued differs from the sum of its transfers",
        ),
        (
            "DELETE FROM transfer WHERE phase = 'post'",
            "account revenue differs from the sum of its transfers",
        ),
        (
            "INSERT INTO transfer (id, debit_account_id, credit_account_id, amount_micro, phase,"
            " pending_id, idem_ref, actor, created_at) SELECT 'twice', debit_account_id, credit_account_id, 1, 'post',"
            " pending_id, 'twice', 'x', created_at FROM transfer WHERE phase = 'post'",
            "hold {settled} is resolved 2 times",
        ),
        (
            "UPDATE transfer SET amount_micro = 101 WHERE phase = 'post'",
            "transfer {post} does not fit the hold that it resolves",
        ),
        (
            "UPDATE transfer SET amount_micro = 99 WHERE phase = 'void'",
            "transfer {void} does not fit the hold that it resolves",
        ),
        (
            "UPDATE transfer SET credit_account_id = 'issued' WHERE phase = 'post'",
            "transfer {post} does not fit the hold that it resolves",
        ),
        (
            "DELETE FROM job WHERE id = 'job-open'",
            "hold {open} has no job",
        ),
        (
            "UPDATE job SET state = 'succeeded' WHERE id = 'job-open'",
            "job job-open is succeeded, its hold open",
        ),
        (
            "UPDATE job SET state = 'failed' WHERE id = 'job-settled'",
            "job job-settled is failed, its hold settled",
        ),
        (
            "UPDATE job SET state = 'running' WHERE id = 'job-released'",
            "job job-released is running, its hold released",
        ),
        (
            "UPDATE account SET credits_posted = credits_posted + 7 WHERE id = 'revenue'",
            "issued, held and earned credits differ by 7",
        ),
    ],
)
def test_a_broken_rule_is_told(stock: Stock, tmp_path: Path, statement: str, sentence: str) -> None:
    names = stock.database.transact(_names) | {"customer": stock.customer.account_id}
    _break(tmp_path / "test.sqlite3", statement)
    report = stock.ledger.check()
    assert sentence.format(**names) in report.violations
    assert not report.is_ok


def test_a_reference_with_two_transfers_is_told(stock: Stock, tmp_path: Path) -> None:
    """SQLite cannot drop a column's own UNIQUE, so the table is made anew without it."""
    connection = dbapi2.connect(tmp_path / "test.sqlite3", isolation_level=None)
    connection.execute("PRAGMA legacy_alter_table = ON")
    connection.execute("CREATE TABLE copy AS SELECT * FROM transfer")
    connection.execute("INSERT INTO copy SELECT * FROM transfer WHERE phase = 'single'")
    connection.execute("DROP TABLE transfer")
    connection.execute("ALTER TABLE copy RENAME TO transfer")
    connection.close()
    violations = stock.ledger.check().violations
    assert any(sentence.endswith("has 2 transfers") for sentence in violations)


def test_a_missing_guard_is_told(stock: Stock, tmp_path: Path) -> None:
    connection = dbapi2.connect(tmp_path / "test.sqlite3", isolation_level=None)
    connection.execute("DROP TRIGGER transfer_never_changes")
    connection.close()
    assert stock.ledger.check().violations == ("the guard transfer_never_changes is missing",)
    assert stock.database.transact(missing_guards) == ["transfer_never_changes"]


def _names(connection: Connection) -> dict[str, str]:
    """The ids that a sentence may hold, by what they are."""
    ends = connection.exec_driver_sql("SELECT phase, id FROM transfer WHERE pending_id IS NOT NULL")
    holds = connection.exec_driver_sql("SELECT id, hold_id FROM job")
    return {row.phase: row.id for row in ends} | {
        job_id.removeprefix("job-"): hold_id for job_id, hold_id in holds
    }


def test_a_check_does_not_wait_for_a_writer(stock: Stock, tmp_path: Path) -> None:
    writer = dbapi2.connect(tmp_path / "test.sqlite3", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert stock.ledger.check().is_ok
    writer.execute("ROLLBACK")
    writer.close()
