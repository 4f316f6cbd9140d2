"""Usage by day and key, and balances; on both databases."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Connection, update

from photogram.accounts.models import Principal
from photogram.core.errors import InvalidRequestError
from photogram.generation.repository import jobs
from photogram.generation.states import JobState
from photogram.ledger.reports import AccountSummary, Period, Usage
from photogram.storage.tables.jobs import job
from tests.unit.storage.stocked import Stock, execute, fail, new_job, succeed

DAY = date(2026, 11, 30)
WHOLE = Period(DAY - timedelta(9), DAY + timedelta(9))


def _job(stock: Stock, principal: Principal, cost_micro: int, at: datetime) -> str:
    new = new_job(principal, cost_micro)
    stock.database.transact(jobs.admit, new)

    def date_back(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":  # a day is UTC's, whatever the session's is
            execute(connection, "SET LOCAL TimeZone = 'Asia/Kathmandu'")
        connection.execute(update(job).where(job.c.id == new.id).values(created_at=at))

    stock.database.transact(date_back)
    return new.id


def _at(day: int, hour: int) -> datetime:
    return datetime(2026, 11, day, hour, 59, 59, 999_999, tzinfo=UTC)


def test_usage_is_by_utc_day_and_key(stock: Stock) -> None:
    other = stock.accounts.create_key("bob", name="ci")
    bob = Principal(other.info.account_id, other.key_id)
    stock.ledger.grant(bob.account_id, 1_000, actor="test")
    ann = stock.customer
    for principal, cost_micro, at in (
        (ann, 10, _at(29, 23)),
        (ann, 20, _at(30, 0)),
        (ann, 30, _at(30, 23)),
        (bob, 40, _at(30, 12)),
    ):
        job_id = _job(stock, principal, cost_micro, at)
        stock.database.transact(succeed, job_id, cost_micro)
    stock.ledger.refund(job_id, 15, actor="test", reason="blurred")
    stock.ledger.refund(job_id, 5, actor="test", reason="blurred")
    before = Usage(DAY - timedelta(1), "ann", ann.key_id, None, 1, 1, 10, 0)
    anns = Usage(DAY, "ann", ann.key_id, None, 2, 2, 50, 0)
    bobs = Usage(DAY, "bob", bob.key_id, "ci", 1, 1, 40, 20)
    assert stock.ledger.usage(WHOLE) == [before, anns, bobs]
    assert stock.ledger.usage(WHOLE, ann.account_id) == [before, anns]
    assert stock.ledger.usage(Period(DAY, DAY)) == [anns, bobs]
    assert stock.ledger.usage(Period(DAY + timedelta(1), DAY + timedelta(1))) == []


def test_what_was_not_delivered_was_not_used(stock: Stock) -> None:
    _job(stock, stock.customer, 10, _at(30, 1))
    failed = _job(stock, stock.customer, 10, _at(30, 1))
    stock.database.transact(fail, failed, JobState.FAILED, "test")
    assert stock.ledger.usage(WHOLE) == []


def test_accounts_are_listed_by_name_with_what_they_have(stock: Stock) -> None:
    stock.admit(100)
    stock.ledger.grant(stock.customer.account_id, 7, actor="test", is_free=True)
    for name in ("zoe", "bob"):
        stock.accounts.ensure_account(name)
    listed = stock.ledger.accounts(10)
    assert [summary.name for summary in listed] == ["ann", "bob", "zoe"]
    first = listed[0]
    assert first == AccountSummary(
        stock.customer.account_id, "ann", first.created_at, 1_000_000 - 100 + 7, 7, 100
    )
    assert first.created_at.tzinfo is UTC
    assert [summary.name for summary in stock.ledger.accounts(1, after="ann")] == ["bob"]


def test_a_period_is_read_as_people_write_it() -> None:
    assert Period.read("2026-11-01", "2026-11-30", DAY) == Period(date(2026, 11, 1), DAY)
    assert Period.read(None, None, DAY) == Period(date(2026, 11, 1), DAY)
    assert Period.read("2026-11-30", None, DAY) == Period(DAY, DAY)
    assert Period.read(None, "2026-01-30", DAY).since == date(2026, 1, 1)


@pytest.mark.parametrize(
    ("since", "until", "named"),
    [
        ("yesterday", None, "since"),
        ("2026-02-30", None, "since"),
        ("", None, "since"),
        (None, "30.11.2026", "until"),
        (None, "0001-01-01", "until"),
        (None, "9999-12-31", "until"),
        ("2026-12-01", None, "since"),
        ("2020-01-01", None, "since"),
    ],
)
def test_what_is_no_period_is_named(since: str | None, until: str | None, named: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        Period.read(since, until, DAY)
    assert refused.value.details[0].field == named
