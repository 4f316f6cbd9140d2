"""The SQL of messages. Every function runs inside its caller's transaction.

A message is written in the transaction that makes it true; whoever claims it afterwards owns it
until an instant, so that two servers never make the same attempt at once, and one that dies leaves
it to be attempted again. So a message is delivered at least once, under one id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, select, update

from photogram.core import ids
from photogram.core.errors import ConflictError
from photogram.storage.instants import database_now
from photogram.storage.tables.webhooks import delivery, message, webhook
from photogram.webhooks.models import (
    TEST,
    Announcement,
    Attempt,
    Outcome,
    Parcel,
    is_subscribed,
)
from photogram.webhooks.repository.registered import find_webhook

KEPT: Final = timedelta(days=30)
"""How long messages are kept, delivered or not."""

_MOST_FORGOTTEN = 500

_IS_UNDONE = message.c.done_at.is_(None)
_IS_ON = webhook.c.disabled_at.is_(None)

# Built once: SQLAlchemy takes longer to build a statement than SQLite to run it.
_SUBSCRIBERS = select(webhook.c.id, webhook.c.url, webhook.c.event_types).where(
    webhook.c.account_id == bindparam("account_id"), _IS_ON
)
_INSERT_MESSAGE = insert(message)
_INSERT_DELIVERY = insert(delivery)
_DUE = (
    select(message.c.id)
    .where(
        _IS_UNDONE,
        message.c.account_id == bindparam("account_id"),
        message.c.next_at <= bindparam("now"),
    )
    .order_by(message.c.next_at)
    .limit(bindparam("room"))
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    update(message)
    .where(message.c.id.in_(bindparam("ids", expanding=True)))
    .values(num_attempts=message.c.num_attempts + 1, next_at=bindparam("until"))
)
# The address of a webhook is that of now: who has corrected it need not wait for newer messages.
_CLAIMED = (
    select(
        message,
        webhook.c.disabled_at,
        func.coalesce(webhook.c.url, message.c.url).label("to_url"),
        func.coalesce(webhook.c.secret, message.c.secret).label("with_secret"),
    )
    .join(webhook, webhook.c.id == message.c.webhook_id, isouter=True)
    .where(message.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(message.c.id)
)
_FINISH = (
    update(message)
    .where(message.c.id == bindparam("message_id"), _IS_UNDONE)
    .values(done_at=bindparam("now"), outcome=bindparam("how"), secret=None)
)
_POSTPONE = (
    update(message)
    .where(
        message.c.id == bindparam("message_id"),
        message.c.num_attempts == bindparam("attempt"),
        _IS_UNDONE,
    )
    .values(next_at=bindparam("later"))
)


def _waiting_accounts() -> Select[str, datetime]:
    """Accounts with undelivered messages, and when the first of each is due.

    It steps from account to account along an index: a million messages of one account cost no more
    than one.
    """
    step = select(func.min(message.c.account_id).label("account_id")).where(_IS_UNDONE)
    waiting = step.cte("waiting", recursive=True)
    other = message.alias("other")
    following = (
        select(func.min(other.c.account_id))
        .where(other.c.done_at.is_(None), other.c.account_id > waiting.c.account_id)
        .scalar_subquery()
    )
    waiting = waiting.union_all(select(following).where(waiting.c.account_id.is_not(None)))
    first = (
        select(func.min(message.c.next_at))
        .where(_IS_UNDONE, message.c.account_id == waiting.c.account_id)
        .scalar_subquery()
        .label("next_at")
    )
    return (
        select(waiting.c.account_id, first)
        .where(waiting.c.account_id.is_not(None))
        .order_by(first, waiting.c.account_id)
    )


_WAITING = _waiting_accounts()


def announce(connection: Connection, announcement: Announcement) -> int:
    """Write what is to be told, for everyone who is to be told; returns how many messages.

    To be called in the transaction that makes it true. `Courier.wake` afterwards saves a wait.
    """
    subscribers = connection.execute(_SUBSCRIBERS, {"account_id": announcement.account_id})
    told = [
        {"url": row.url, "webhook_id": row.id, "secret": None}
        for row in subscribers
        if is_subscribed(tuple(row.event_types.split()), announcement.event_type)
    ]
    if announcement.url is not None:
        told.append({"url": announcement.url, "webhook_id": None, "secret": announcement.secret})
    if told:
        common = _message(connection, announcement)
        connection.execute(_INSERT_MESSAGE, [{**common, "id": ids.new_id(), **to} for to in told])
    return len(told)


@dataclass(frozen=True, slots=True)
class Claim:
    """Messages that are this server's to attempt now.

    Attributes:
        wait_s: Seconds until more are due of accounts that are not at their limit; 0: perhaps now.
    """

    parcels: list[Parcel]
    wait_s: float


def claim(
    connection: Connection,
    now: datetime,
    until: datetime,
    busy: Mapping[str, int],
    limits: tuple[int, int],
) -> Claim:
    """Take messages that are due, those of the longest waiting accounts first.

    Args:
        connection: In a transaction.
        now: The present.
        until: If nothing is recorded of an attempt, the next one is due then.
        busy: How many messages of an account are under way.
        limits: How many may be under way, in all and per account.
    """
    most, most_per_account = limits
    room = most - sum(busy.values())
    claimed: list[str] = []
    wait_s = inf
    for account_id, due_at in connection.execute(_WAITING).all():
        if due_at > now:
            wait_s = (due_at - now).total_seconds()
            break
        share = min(most_per_account - busy.get(account_id, 0), room - len(claimed))
        if share > 0:
            values = {"account_id": account_id, "now": now, "room": share}
            claimed += connection.execute(_DUE, values).scalars()
    if not claimed:
        return Claim([], wait_s)
    connection.execute(_CLAIM, {"ids": claimed, "until": until})
    parcels = []
    for row in connection.execute(_CLAIMED, {"ids": claimed}).all():
        if row.disabled_at is None:
            parcels.append(_parcel(row))
        else:
            _finish(connection, row.id, Outcome.SWITCHED_OFF, now)
    return Claim(parcels, 0)


def record(
    connection: Connection,
    parcel: Parcel,
    attempt: Attempt,
    outcome: Outcome | None,
    later: datetime,
) -> None:
    """Write down what came of an attempt, and what follows from it.

    Args:
        connection: In a transaction.
        parcel: What was attempted.
        attempt: What came of it.
        outcome: How the message has ended; None if there is to be another attempt.
        later: The present, or when the other attempt is due.
    """
    values = {
        "message_id": parcel.message_id,
        "attempt": parcel.attempt,
        "started_at": attempt.started_at,
        "duration_s": attempt.duration_s,
        "status": attempt.status,
        "error": attempt.error,
    }
    connection.execute(_INSERT_DELIVERY, values)
    if outcome is None:
        # Nothing, if another has claimed the message meanwhile.
        postponed = {"message_id": parcel.message_id, "attempt": parcel.attempt, "later": later}
        connection.execute(_POSTPONE, postponed)
        return
    _finish(connection, parcel.message_id, outcome, later)
    if outcome is Outcome.GONE and parcel.webhook_id is not None:
        # Not one whose address was changed meanwhile.
        is_same = (webhook.c.id == parcel.webhook_id, webhook.c.url == parcel.url, _IS_ON)
        connection.execute(update(webhook).where(*is_same).values(disabled_at=later))


def forget(connection: Connection, now: datetime) -> int:
    """Remove messages older than `KEPT`, their log, and webhooks that were off for as long.

    Returns:
        How many messages; they may be too many for one transaction: call it again until none.
    """
    before = now - KEPT
    old = select(message.c.id).where(message.c.created_at < before).limit(_MOST_FORGOTTEN)
    message_ids = list(connection.execute(old).scalars())
    connection.execute(delete(delivery).where(delivery.c.message_id.in_(message_ids)))
    connection.execute(delete(message).where(message.c.id.in_(message_ids)))
    has_messages = select(message.c.id).where(message.c.webhook_id == webhook.c.id).exists()
    connection.execute(delete(webhook).where(webhook.c.disabled_at < before, ~has_messages))
    return len(message_ids)


def add_test(connection: Connection, account_id: str, webhook_id: str, payload: str) -> str:
    """Write a message that tells nothing, for one webhook; returns its id.

    Raises:
        NotFoundError: The account has no such webhook.
        ConflictError: The last one is under way, or the webhook is switched off.
    """
    found = find_webhook(connection, account_id, webhook_id)
    if not found.is_active:
        raise ConflictError("the webhook is switched off; update it to switch it on")
    under_way = select(message.c.id).where(
        message.c.webhook_id == webhook_id, message.c.event_type == TEST, _IS_UNDONE
    )
    if connection.execute(under_way.limit(1)).scalar() is not None:
        raise ConflictError("the last test of this webhook is still under way; see its log")
    common = _message(connection, Announcement(account_id, None, TEST, payload))
    message_id = ids.new_id()
    to = {"id": message_id, "url": found.url, "webhook_id": webhook_id}
    connection.execute(_INSERT_MESSAGE, common | to)
    return message_id


def _message(connection: Connection, announcement: Announcement) -> dict[str, object]:
    """What is the same for everyone who is told."""
    now = database_now(connection)
    return {
        "account_id": announcement.account_id,
        "job_id": announcement.job_id,
        "event_type": announcement.event_type,
        "payload": announcement.payload,
        "created_at": now,
        "next_at": now,
    }


def _finish(connection: Connection, message_id: str, outcome: Outcome, now: datetime) -> None:
    """End a message, and forget the secret that the request gave it."""
    values = {"message_id": message_id, "how": outcome, "now": now}
    connection.execute(_FINISH, values)


def _parcel(row: Row[Any]) -> Parcel:
    return Parcel(
        message_id=row.id,
        attempt=row.num_attempts,
        account_id=row.account_id,
        webhook_id=row.webhook_id,
        event_type=row.event_type,
        url=row.to_url,
        payload=row.payload,
        secret=row.with_secret,
    )
