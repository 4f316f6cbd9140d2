from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Connection, insert, select, update

from photogram.core.errors import StorageError
from photogram.generation.states import TRANSITIONS, JobState
from photogram.storage.tables.jobs import job
from photogram.storage.tables.ledger import account, transfer
from tests.postgres import Cluster
from tests.unit.storage.stocked import Stock, execute, open_stock, succeed

AN_INSTANT = datetime(2026, 3, 1, 12, 30, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE transfer SET amount_micro = 1",
        "DELETE FROM transfer",
        "UPDATE account SET credits_posted = 0, debits_posted = 0 WHERE kind = 'customer'",
        "UPDATE account SET debits_posted = -1 WHERE id = 'revenue'",
        "UPDATE account SET credits_posted = 4611686018427387905 WHERE id = 'revenue'",
        "UPDATE account SET free_micro = 1 WHERE kind = 'customer'",
        "UPDATE account SET free_micro = -1 WHERE id = 'revenue'",
        "UPDATE account SET name = 'money' WHERE id = 'revenue'",
        "UPDATE account SET kind = 'rich' WHERE kind = 'customer'",
        "DELETE FROM account WHERE kind = 'customer'",
        "UPDATE job SET state = 'paused'",
        "UPDATE job SET account_id = 'nobody'",
    ],
)
def test_the_database_refuses_what_must_never_be(stock: Stock, statement: str) -> None:
    stock.admit(1_000_000)
    before = stock.balance()
    with pytest.raises(StorageError) as refused:
        stock.database.transact(execute, statement)
    assert refused.value.error_code == "storage_integrity"
    assert stock.balance() == before
    assert stock.ledger.check().is_ok


@pytest.mark.parametrize(
    ("phase", "pending_id", "amount_micro"),
    [
        ("post", "hold", 101),
        ("void", "hold", 99),
        ("post", "nothing", 1),
        ("post", None, 1),
        ("pending", "hold", 1),
        ("single", None, 0),
        ("pending", None, -1),
        ("gift", None, 1),
    ],
)
def test_a_transfer_that_fits_no_hold_is_refused(
    stock: Stock, phase: str, pending_id: str | None, amount_micro: int
) -> None:
    job_id = stock.admit(100)

    def add(connection: Connection) -> None:
        hold_id = connection.execute(select(job.c.hold_id).where(job.c.id == job_id)).scalar_one()
        connection.execute(
            insert(transfer).values(
                id="new",
                debit_account_id=stock.customer.account_id,
                credit_account_id="revenue",
                amount_micro=amount_micro,
                phase=phase,
                pending_id=hold_id if pending_id == "hold" else pending_id,
                idem_ref="new",
                actor="test",
                created_at=AN_INSTANT,
            )
        )

    with pytest.raises(StorageError):
        stock.database.transact(add)


def _set_state(connection: Connection, state: str) -> None:
    """The state, with what else the step needs: an attempt to run, an owner to be queued again."""
    values: dict[str, object] = {"state": state}
    if state == JobState.RUNNING:
        values["attempt"] = job.c.attempt + 1
    if state == JobState.QUEUED:
        values["fence"] = job.c.fence + 1
    connection.execute(update(job).values(values))


@pytest.mark.parametrize("after", JobState)
@pytest.mark.parametrize("before", JobState)
def test_the_database_allows_just_the_transitions_of_the_code(
    breakable_stock: Stock, before: JobState, after: JobState
) -> None:
    job_id = breakable_stock.admit(1)
    path = {"queued": [], "failed": ["failed"], "cancelled": ["cancelled"]}.get(
        before, ["running", before][: 1 if before == "running" else 2]
    )
    for state in path:
        breakable_stock.database.transact(_set_state, state)
    if after in TRANSITIONS[before]:
        breakable_stock.database.transact(_set_state, after)
        assert breakable_stock.job(job_id)[0] == after
    else:
        with pytest.raises(StorageError):
            breakable_stock.database.transact(_set_state, after)


def test_a_job_cannot_be_written_as_finished(stock: Stock) -> None:
    stock.admit(1)
    with pytest.raises(StorageError):
        stock.database.transact(
            execute,
            "INSERT INTO job (id, account_id, key_id, hold_id, state, price_version, num_images,"
            " num_steps, guidance, pixel_factor, created_at) SELECT 'new', account_id, key_id,"
            " hold_id || 'x', 'succeeded', price_version, num_images, num_steps, guidance,"
            " pixel_factor, created_at FROM job",
        )


@pytest.mark.parametrize(
    "values",
    [
        "'nowhere', 'revenue', {customer}, 1, 0, 'single', NULL, 'why'",  # of no job
        "'more', 'revenue', {customer}, 101, 0, 'single', {job}, 'why'",
        "'more-free', 'revenue', {customer}, 50, 1, 'single', {job}, 'why'",
        "'why', 'revenue', {customer}, 1, 0, 'single', {job}, NULL",
        "'gift', {customer}, 'issued', 1, 0, 'single', {job}, 'why'",
        "'free', 'issued', {customer}, 1, 2, 'single', NULL, NULL",
    ],
)
def test_the_database_refuses_a_gift(stock: Stock, values: str) -> None:
    job_id = stock.admit(100)
    stock.database.transact(succeed, job_id, 100)
    names = {"customer": f"'{stock.customer.account_id}'", "job": f"'{job_id}'"}
    with pytest.raises(StorageError) as refused:
        stock.database.transact(
            execute,
            "INSERT INTO transfer (id, debit_account_id, credit_account_id, amount_micro,"  # noqa: S608 - this test's own words
            " free_micro, phase, job_id, reason, idem_ref, actor, created_at)"
            f" VALUES ({values.format(**names)}, 'new', 'test', '2026-01-01')",
        )
    assert refused.value.error_code == "storage_integrity"


def test_a_postgresql_ledger_cannot_be_emptied_at_once(postgres: Cluster) -> None:
    with postgres.database() as url, open_stock(url, amount_micro=5) as stock:
        with pytest.raises(StorageError) as refused:
            stock.database.transact(execute, "TRUNCATE transfer CASCADE")
        assert refused.value.error_code == "storage_integrity"


def test_instants_come_back_in_utc_whatever_zone_they_went_in_with(stock: Stock) -> None:
    def write_and_read(connection: Connection) -> datetime:
        elsewhere = AN_INSTANT.astimezone(timezone(timedelta(hours=-7)))
        if connection.dialect.name == "postgresql":
            execute(connection, "SET LOCAL TimeZone = 'Asia/Kathmandu'")
        connection.execute(
            insert(account).values(id="new", kind="customer", name="new", created_at=elsewhere)
        )
        query = select(account.c.created_at).where(account.c.id == "new")
        return connection.execute(query).scalar_one()

    instant = stock.database.transact(write_and_read)
    assert instant == AN_INSTANT
    assert instant.tzinfo is UTC
