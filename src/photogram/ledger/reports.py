"""What the ledger and its jobs amount to: usage by day and key, and every account's balance.

Days are UTC. A job counts on the day on which it was asked for, with what was given back of it
later. It changes nothing.
"""

import contextlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, bindparam, func, select

from photogram.core.errors import ErrorDetail, InvalidRequestError
from photogram.ledger.entries import Phase
from photogram.storage.tables.jobs import job
from photogram.storage.tables.keys import api_key
from photogram.storage.tables.ledger import account, transfer

MAX_DAYS = 366
_DEFAULT_DAYS = 30
_FIRST_DAY = date(2000, 1, 1)
_LAST_DAY = date(2999, 12, 31)

_TOTAL = account.c.credits_posted - account.c.debits_posted - account.c.debits_pending
_ACCOUNTS = (
    select(
        account.c.id,
        account.c.name,
        account.c.created_at,
        _TOTAL,
        account.c.free_micro,
        account.c.debits_pending,
    )
    .where(account.c.kind == "customer", account.c.name > bindparam("after"))
    .order_by(account.c.name)
    .limit(bindparam("limit"))
)


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days, both included."""

    since: date
    until: date

    @classmethod
    def read(cls, since: str | None, until: str | None, today: date) -> "Period":
        """Days as people write them, 2026-11-30; left out, the last 30.

        Raises:
            InvalidRequestError: One is no date, or they are no period of at most 366 days.
        """
        last = today if until is None else _read_day("until", until)
        first = last - timedelta(_DEFAULT_DAYS - 1) if since is None else _read_day("since", since)
        if not 0 <= (last - first).days < MAX_DAYS:
            message = f"since must not be after until, nor more than {MAX_DAYS} days before it"
            raise InvalidRequestError(message, details=[ErrorDetail("since", message)])
        return cls(first, last)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one key did on one day: jobs that were delivered, and what they cost.

    Attributes:
        refunded_micro: Of what they cost, what was given back until now.
    """

    day: date
    account_name: str
    key_id: str
    key_name: str | None
    num_jobs: int
    num_images: int
    settled_micro: int
    refunded_micro: int


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """An account and its micro-credits.

    Attributes:
        available_micro: What it may spend, free credits among it.
        held_micro: What its open jobs hold on top.
    """

    account_id: str
    name: str
    created_at: datetime
    available_micro: int
    free_micro: int
    held_micro: int


def usage(connection: Connection, period: Period, account_id: str | None) -> list[Usage]:
    """Of one account, or of all; by day, account and key."""
    day = _utc_day(connection)
    refunded = (
        select(func.coalesce(func.sum(transfer.c.amount_micro), 0))
        .where(transfer.c.job_id == job.c.id, transfer.c.phase == Phase.SINGLE)
        .correlate(job)
        .scalar_subquery()
    )
    paid = transfer.alias("paid")
    keys = (day.label("day"), account.c.name, job.c.key_id, api_key.c.name.label("key_name"))
    query = (
        select(
            *keys,
            func.count(),
            func.sum(job.c.num_images),
            func.sum(paid.c.amount_micro),
            func.sum(refunded),
        )
        .select_from(job)
        .join(paid, (paid.c.pending_id == job.c.hold_id) & (paid.c.phase == Phase.POST))
        .join(account, account.c.id == job.c.account_id)
        .join(api_key, api_key.c.id == job.c.key_id)
        .where(
            job.c.created_at >= _midnight(period.since),
            job.c.created_at < _midnight(period.until + timedelta(days=1)),
        )
        .group_by(*keys)
        .order_by(*keys)
    )
    if account_id is not None:
        query = query.where(job.c.account_id == account_id)
    return [_read_usage(row) for row in connection.execute(query)]


def accounts(connection: Connection, limit: int, after: str) -> list[AccountSummary]:
    """So many accounts by name, from the first whose name comes after `after`."""
    rows = connection.execute(_ACCOUNTS, {"limit": limit, "after": after})
    return [AccountSummary(*row) for row in rows]


def _read_usage(row: Any) -> Usage:
    day, account_name, key_id, key_name, *sums = row
    # PostgreSQL adds integers up to decimals.
    return Usage(date.fromisoformat(day), account_name, key_id, key_name, *map(int, sums))


def _utc_day(connection: Connection) -> ColumnElement[str]:
    if connection.dialect.name == "sqlite":
        return func.date(job.c.created_at, type_=String)
    instant = func.timezone("UTC", job.c.created_at)
    return func.to_char(instant, "YYYY-MM-DD", type_=String)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _read_day(name: str, words: str) -> date:
    with contextlib.suppress(ValueError):
        day = date.fromisoformat(words)
        if _FIRST_DAY <= day <= _LAST_DAY:
            return day
    message = f"{name} must be a day, such as 2026-11-30"
    raise InvalidRequestError(message, details=[ErrorDetail(name, message)])
