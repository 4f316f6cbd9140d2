import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from photogram.core.errors import ConflictError
from photogram.storage.instants import database_now
from photogram.webhooks.models import (
    JOB_COMPLETED,
    JOB_FAILED,
    Announcement,
    Attempt,
    Outcome,
    Parcel,
)
from photogram.webhooks.repository import outbox, registered
from photogram.webhooks.repository.outbox import Claim
from tests.unit.storage.stocked import Stock
from tests.unit.webhooks.telling import announce, log_of, outcomes

URL = "https://example.com/own"
MINUTE = timedelta(minutes=1)


def _claim(
    stock: Stock,
    *,
    ahead: timedelta = timedelta(),
    most: int = 64,
    per_account: int = 4,
    **busy: int,
) -> Claim:
    def claim(connection: Connection) -> Claim:
        now = database_now(connection) + ahead
        return outbox.claim(connection, now, now + MINUTE, busy, (most, per_account))

    return stock.database.transact(claim)


def _record(
    stock: Stock,
    parcel: Parcel,
    outcome: Outcome | None,
    *,
    delay: timedelta = timedelta(),
    status: int = 500,
) -> None:
    attempt = Attempt(datetime.now(UTC), 0.25, status)

    def record(connection: Connection) -> None:
        outbox.record(connection, parcel, attempt, outcome, database_now(connection) + delay)

    stock.database.transact(record)


def _add(stock: Stock, *event_types: str, account_id: str | None = None) -> str:
    """A webhook; returns its id."""
    owner = account_id or stock.customer.account_id
    url = f"https://example.com/{'-'.join(event_types)}"
    added = stock.database.transact(
        registered.add_webhook, owner, url.replace("*", "all"), event_types, "whsec_secret"
    )
    return added.id


def _change(stock: Stock, webhook_id: str, url: str) -> None:
    stock.database.transact(
        registered.change_webhook, stock.customer.account_id, webhook_id, url, ("*",)
    )


def test_everyone_who_wants_an_event_is_told_of_it(stock: Stock) -> None:
    other = stock.accounts.ensure_account("bob")
    _add(stock, JOB_FAILED)
    _add(stock, "NODE_RUN")
    _add(stock, "*", account_id=other)
    off = _add(stock, "*")
    stock.database.transact(registered.switch_off, stock.customer.account_id, off)
    wanted = {_add(stock, JOB_COMPLETED), _add(stock, "*"), _add(stock, "x", "PIXELFLOW"), None}
    job_id = announce(stock, URL, secret="own secret")
    parcels = _claim(stock).parcels
    assert {parcel.webhook_id for parcel in parcels} == wanted
    assert len({parcel.message_id for parcel in parcels}) == 4
    own = next(parcel for parcel in parcels if parcel.webhook_id is None)
    assert (own.url, own.secret, own.attempt) == (URL, "own secret", 1)
    assert {parcel.secret for parcel in parcels} == {"own secret", "whsec_secret"}
    assert log_of(stock, job_id) == []


def test_nobody_to_tell_is_no_message(stock: Stock) -> None:
    announce(stock)
    assert outcomes(stock.database) == []


def test_what_is_rolled_back_is_never_told(stock: Stock) -> None:
    def fail(connection: Connection) -> None:
        announcement = Announcement(stock.customer.account_id, None, JOB_COMPLETED, "{}", URL)
        outbox.announce(connection, announcement)
        raise ConflictError

    with pytest.raises(ConflictError):
        stock.database.transact(fail)
    assert outcomes(stock.database) == []


def test_a_claimed_message_is_nobody_elses_until_the_claim_ends(stock: Stock) -> None:
    announce(stock, URL)
    (first,) = _claim(stock).parcels
    assert _claim(stock).parcels == []
    assert _claim(stock, ahead=MINUTE / 2).parcels == []
    (second,) = _claim(stock, ahead=2 * MINUTE).parcels
    assert (first.message_id, 2) == (second.message_id, second.attempt)


def test_two_servers_at_once_never_claim_the_same_message(stock: Stock) -> None:
    announce(stock, URL, num=40)
    claimed: list[str] = []

    def claim_all() -> None:
        while parcels := _claim(stock).parcels:
            claimed.extend(parcel.message_id for parcel in parcels)

    threads = [threading.Thread(target=claim_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    claimed += [parcel.message_id for _ in range(10) for parcel in _claim(stock).parcels]
    assert len(claimed) == len(set(claimed)) == 40


def test_an_account_gets_no_more_than_its_share(stock: Stock) -> None:
    other = stock.accounts.ensure_account("bob")
    announce(stock, URL, num=10)
    announce(stock, URL, num=2, account_id=other)
    claim = _claim(stock, per_account=4)
    owners = [parcel.account_id for parcel in claim.parcels]
    assert (owners.count(stock.customer.account_id), owners.count(other)) == (4, 2)
    busy = {stock.customer.account_id: 4}
    assert _claim(stock, per_account=4, **busy).parcels == []
    assert len(_claim(stock, most=5, per_account=4, **busy, nobody=0).parcels) == 0
    assert len(_claim(stock, most=3, per_account=4).parcels) == 3


def test_the_wait_is_until_the_next_message_is_due(stock: Stock) -> None:
    assert _claim(stock).wait_s == float("inf")
    announce(stock, URL)
    claim = _claim(stock)
    assert claim.wait_s == 0
    _record(stock, claim.parcels[0], None, delay=timedelta(hours=1))
    assert 3000 < _claim(stock).wait_s <= 3600


def test_a_postponed_message_comes_again_and_a_finished_one_does_not(stock: Stock) -> None:
    job_id = announce(stock, URL, secret="own secret")
    (first,) = _claim(stock).parcels
    _record(stock, first, None, delay=10 * MINUTE)
    assert _claim(stock, ahead=9 * MINUTE).parcels == []
    (second,) = _claim(stock, ahead=11 * MINUTE).parcels
    _record(stock, second, Outcome.DELIVERED, status=204)
    assert _claim(stock, ahead=100 * MINUTE).parcels == []
    assert [(each.attempt, each.status) for each in log_of(stock, job_id)] == [(1, 500), (2, 204)]
    secrets = text("SELECT secret FROM message")
    assert stock.database.transact(lambda each: each.execute(secrets).scalars().all()) == [None]


def test_who_has_lost_a_claim_changes_nothing_for_the_next_one(stock: Stock) -> None:
    announce(stock, URL)
    (late,) = _claim(stock).parcels
    (next_one,) = _claim(stock, ahead=2 * MINUTE).parcels
    _record(stock, late, None)
    assert _claim(stock, ahead=2 * MINUTE).parcels == []
    _record(stock, next_one, Outcome.GIVEN_UP)
    assert outcomes(stock.database) == ["given_up"]


def test_who_has_delivered_late_has_delivered(stock: Stock) -> None:
    announce(stock, URL)
    (late,) = _claim(stock).parcels
    _claim(stock, ahead=2 * MINUTE)
    _record(stock, late, Outcome.DELIVERED, status=200)
    assert outcomes(stock.database) == ["delivered"]


def test_gone_switches_the_webhook_off_and_its_other_messages_end(stock: Stock) -> None:
    webhook_id = _add(stock, "*")
    announce(stock, num=2)
    first, second = _claim(stock).parcels
    _record(stock, first, Outcome.GONE, status=410)
    found = stock.database.transact(registered.find_webhook, stock.customer.account_id, webhook_id)
    assert not found.is_active
    _record(stock, second, None)
    assert _claim(stock).parcels == []
    assert outcomes(stock.database) == ["gone", "switched_off"]
    announce(stock)
    assert len(outcomes(stock.database)) == 2


def test_gone_from_an_address_that_was_changed_meanwhile_switches_nothing_off(
    stock: Stock,
) -> None:
    webhook_id = _add(stock, "*")
    announce(stock)
    (parcel,) = _claim(stock).parcels
    _change(stock, webhook_id, "https://example.com/new")
    _record(stock, parcel, Outcome.GONE, status=410)
    found = stock.database.transact(registered.find_webhook, stock.customer.account_id, webhook_id)
    assert found.is_active


def test_messages_that_wait_follow_their_webhook_to_its_new_address(stock: Stock) -> None:
    webhook_id = _add(stock, "*")
    announce(stock)
    _change(stock, webhook_id, "https://example.com/new")
    (parcel,) = _claim(stock).parcels
    assert (parcel.url, parcel.secret) == ("https://example.com/new", "whsec_secret")


def test_the_log_shows_attempts_however_many_newer_messages_wait(stock: Stock) -> None:
    webhook_id = _add(stock, "*")
    announce(stock)
    _record(stock, _claim(stock).parcels[0], None, delay=MINUTE)
    announce(stock, num=101)
    account_id = stock.customer.account_id
    (attempt,) = stock.database.transact(registered.log_of_webhook, account_id, webhook_id)
    assert (attempt.status, attempt.duration_s) == (500, 0.25)


def test_what_is_old_is_forgotten_whether_done_or_not(stock: Stock) -> None:
    webhook_id = _add(stock, "*")
    announce(stock, URL)
    _record(stock, _claim(stock, most=1).parcels[0], Outcome.DELIVERED)
    stock.database.transact(registered.switch_off, stock.customer.account_id, webhook_id)
    a_month_on = datetime.now(UTC) + outbox.KEPT
    assert stock.database.transact(outbox.forget, a_month_on - MINUTE) == 0
    assert stock.database.transact(outbox.forget, a_month_on + MINUTE) == 2
    for table in ("message", "delivery", "webhook"):
        count = text(f"SELECT COUNT(*) FROM {table}")  # noqa: S608 - of these three
        assert stock.database.transact(lambda each, c=count: each.execute(c).scalar()) == 0


def test_much_is_forgotten_in_short_transactions(stock: Stock) -> None:
    announce(stock, URL, num=1200)
    later = datetime.now(UTC) + outbox.KEPT + MINUTE
    forgotten = [stock.database.transact(outbox.forget, later) for _ in range(4)]
    assert forgotten == [500, 500, 200, 0]


def test_a_flood_of_one_account_is_stepped_over(stock: Stock) -> None:
    """Its messages are not read to find those of others."""
    other = stock.accounts.ensure_account("bob")
    announce(stock, URL, num=30)
    announce(stock, URL, account_id=other)

    def plan(connection: Connection) -> str:
        compiled = outbox._WAITING.compile(
            dialect=connection.dialect, compile_kwargs={"literal_binds": True}
        )
        if connection.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")
            return "\n".join(row[3] for row in rows)
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        rows = connection.exec_driver_sql(f"EXPLAIN {compiled}")
        return "\n".join(row[0] for row in rows)

    steps = stock.database.transact(plan)
    assert "undone_messages" in steps
    assert "SCAN message" not in steps.replace("SCAN message USING", "")
    assert "Seq Scan on message" not in steps
    assert [parcel.account_id for parcel in _claim(stock, per_account=1).parcels] == [
        stock.customer.account_id,
        other,
    ]
