"""Every rule is broken once, by an operator who first took the database's own guards away."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from photogram.generation.states import JobState
from photogram.storage.database import Database
from photogram.storage.guards import create_guards, drop_guards, missing_guards
from tests.unit.storage.stocked import Stock, execute, fail, open_stock, start, succeed

OPEN, SETTLED, RELEASED = "job-open", "job-settled", "job-released"

_REFUND = """
    INSERT INTO transfer (id, debit_account_id, credit_account_id, amount_micro, free_micro, phase,
        job_id, idem_ref, actor, created_at)
    SELECT 'refund', credit_account_id, debit_account_id, {amount}, {free}, 'single', job_id,
        'refund', 'x', created_at
    FROM transfer WHERE phase = 'post'
"""

_WITHOUT_CHECKS = {
    "sqlite": "PRAGMA ignore_check_constraints = ON",
    "postgresql": """
        DO $$ DECLARE one record; BEGIN
            FOR one IN SELECT conrelid::regclass AS place, conname FROM pg_constraint
                WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace
            LOOP EXECUTE format('ALTER TABLE %%s DROP CONSTRAINT %%I', one.place, one.conname);
            END LOOP; END $$""",
}


@pytest.fixture
def stock(database_url: str) -> Iterator[Stock]:
    """A customer with a grant and one job of each kind."""
    with open_stock(database_url, amount_micro=1_000, is_whole=False) as opened:
        for job_id in (OPEN, SETTLED, RELEASED):
            opened.admit(100, job_id)
        opened.database.transact(succeed, SETTLED, 60)
        opened.database.transact(fail, RELEASED, JobState.FAILED, "test")
        yield opened


def _break(stock: Stock, statement: str) -> None:
    """Run a statement with no guard, no CHECK, no foreign key and no index in its way."""
    database = Database.open(stock.url)
    if stock.url.startswith("sqlite"):
        # These two are nothing within a transaction.
        with database._backend.engine.connect() as connection:
            execute(connection, "PRAGMA foreign_keys = OFF")
    database.transact(_break_within, statement)
    database.close()


def _break_within(connection: Connection, statement: str) -> None:
    drop_guards(connection)
    execute(connection, "DROP INDEX one_resolution_per_hold")
    execute(connection, _WITHOUT_CHECKS[connection.dialect.name])
    assert connection.exec_driver_sql(statement).rowcount > 0
    create_guards(connection)


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
            " pending_id, idem_ref, actor, created_at) SELECT 'twice', debit_account_id,"
            " credit_account_id, 1, 'post',"
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
        (
            "UPDATE account SET free_micro = 5 WHERE kind = 'customer'",
            "account {customer} differs from the sum of its transfers",
        ),
        (
            "UPDATE transfer SET free_micro = 5 WHERE phase = 'post'",
            "transfer {post} does not fit the hold that it resolves",
        ),
        (
            _REFUND.format(amount=61, free=0),
            "job job-settled was given back more than it has cost",
        ),
        (
            _REFUND.format(amount=60, free=1),
            "job job-settled was given back more than it has cost",
        ),
        (
            "INSERT INTO transfer (id, debit_account_id, credit_account_id, amount_micro, phase,"
            " idem_ref, actor, created_at) SELECT 'gift', credit_account_id, debit_account_id, 1,"
            " 'single', 'gift', 'x', created_at FROM transfer WHERE phase = 'post'",
            "transfer gift gives back what was not paid",
        ),
    ],
)
def test_a_broken_rule_is_told(stock: Stock, statement: str, sentence: str) -> None:
    names = stock.database.transact(_names) | {"customer": stock.customer.account_id}
    _break(stock, statement)
    report = stock.ledger.check()
    assert sentence.format(**names) in report.violations
    assert not report.is_ok


def test_a_reference_with_two_transfers_is_told(stock: Stock) -> None:
    """SQLite cannot drop a column's own UNIQUE, so the table is made anew without it."""

    def copy(connection: Connection) -> None:
        drop_guards(connection)
        execute(connection, "CREATE TABLE copy AS SELECT * FROM transfer")
        execute(connection, "INSERT INTO copy SELECT * FROM transfer WHERE phase = 'single'")
        is_sqlite = connection.dialect.name == "sqlite"
        execute(connection, "DROP TABLE transfer" + ("" if is_sqlite else " CASCADE"))
        execute(connection, "ALTER TABLE copy RENAME TO transfer")

    database = Database.open(stock.url)
    if stock.url.startswith("sqlite"):
        with database._backend.engine.connect() as connection:
            execute(connection, "PRAGMA foreign_keys = OFF")
            execute(connection, "PRAGMA legacy_alter_table = ON")
    database.transact(copy)
    database.close()
    violations = stock.ledger.check().violations
    assert any(sentence.endswith("has 2 transfers") for sentence in violations)


@pytest.mark.parametrize("name", ["transfer_never_changes", "transfer_moves_its_accounts"])
def test_a_missing_guard_is_told(stock: Stock, name: str) -> None:
    place = "" if stock.url.startswith("sqlite") else " ON transfer"
    stock.database.transact(execute, f"DROP TRIGGER {name}{place}")
    assert stock.ledger.check().violations == (f"the guard {name} is missing",)
    assert stock.database.transact(missing_guards) == [name]


def _names(connection: Connection) -> dict[str, str]:
    """The ids that a sentence may hold, by what they are."""
    ends = connection.exec_driver_sql("SELECT phase, id FROM transfer WHERE pending_id IS NOT NULL")
    holds = connection.exec_driver_sql("SELECT id, hold_id FROM job")
    return {row.phase: row.id for row in ends} | {
        job_id.removeprefix("job-"): hold_id for job_id, hold_id in holds
    }


def test_a_check_neither_waits_for_a_writer_nor_keeps_one_waiting(stock: Stock) -> None:
    other = Database.open(stock.url)
    assert other.transact(lambda _connection: stock.ledger.check()).is_ok
    assert stock.database.survey(lambda _connection: other.transact(start, OPEN)) == 1
    other.close()
