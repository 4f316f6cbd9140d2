"""The SQL of an account's webhooks and of what became of their messages.

Every function runs inside its caller's transaction, and finds only what is the account's own.
"""

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, func, insert, select, update

from photogram.core import clock, ids
from photogram.core.errors import InvalidRequestError, NotFoundError
from photogram.storage.tables.ledger import account
from photogram.storage.tables.webhooks import delivery, message, webhook
from photogram.webhooks.models import LoggedAttempt, Webhook

MAX_WEBHOOKS: Final = 16
"""Of one account, switched on at once: each costs a message for every event."""

MAX_KEPT_WEBHOOKS: Final = 100
"""Of one account, those that are switched off among them."""

_MOST_LOGGED = 100
_IS_ON = webhook.c.disabled_at.is_(None)


def add_webhook(
    connection: Connection, account_id: str, url: str, event_types: tuple[str, ...], secret: str
) -> Webhook:
    """A new webhook.

    Raises:
        InvalidRequestError: The account has `MAX_WEBHOOKS` already, or `MAX_KEPT_WEBHOOKS` in all.
    """
    _lock(connection, account_id)
    if _count(connection, account_id) >= MAX_KEPT_WEBHOOKS:
        raise InvalidRequestError(
            f"an account keeps at most {MAX_KEPT_WEBHOOKS} webhooks, those that are switched off"
            " among them; update one of these instead"
        )
    _check_room(connection, account_id)
    added = Webhook(ids.new_id(), url, event_types, clock.now(), is_active=True)
    connection.execute(
        insert(webhook).values(
            id=added.id,
            account_id=account_id,
            url=url,
            secret=secret,
            event_types=" ".join(event_types),
            created_at=added.created_at,
        )
    )
    return added


def list_webhooks(connection: Connection, account_id: str) -> list[Webhook]:
    """All of an account, oldest first; those that are switched off too."""
    query = select(webhook).where(webhook.c.account_id == account_id).order_by(webhook.c.id)
    return [_webhook(row) for row in connection.execute(query)]


def find_webhook(connection: Connection, account_id: str, webhook_id: str) -> Webhook:
    """One of an account's webhooks.

    Raises:
        NotFoundError: It has no such one.
    """
    query = select(webhook).where(webhook.c.id == webhook_id, webhook.c.account_id == account_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError("there is no webhook of this id")
    return _webhook(row)


def change_webhook(
    connection: Connection,
    account_id: str,
    webhook_id: str,
    url: str,
    event_types: tuple[str, ...],
) -> Webhook:
    """Set a webhook's address and events, and switch it on.

    Raises:
        NotFoundError: The account has no such webhook.
        InvalidRequestError: It is off, and `MAX_WEBHOOKS` others are on.
    """
    _lock(connection, account_id)
    if not find_webhook(connection, account_id, webhook_id).is_active:
        _check_room(connection, account_id)
    values = {"url": url, "event_types": " ".join(event_types), "disabled_at": None}
    connection.execute(update(webhook).where(webhook.c.id == webhook_id).values(values))
    return find_webhook(connection, account_id, webhook_id)


def switch_off(connection: Connection, account_id: str, webhook_id: str) -> Webhook:
    """Send nothing more to a webhook; again changes nothing.

    Raises:
        NotFoundError: The account has no such webhook.
    """
    found = find_webhook(connection, account_id, webhook_id)
    if found.is_active:
        is_this = webhook.c.id == webhook_id
        connection.execute(update(webhook).where(is_this).values(disabled_at=clock.now()))
    return find_webhook(connection, account_id, webhook_id)


def log_of_webhook(connection: Connection, account_id: str, webhook_id: str) -> list[LoggedAttempt]:
    """The newest attempts to deliver to a webhook, newest first.

    Raises:
        NotFoundError: The account has no such webhook.
    """
    find_webhook(connection, account_id, webhook_id)
    return _log(connection, select(message.c.id).where(message.c.webhook_id == webhook_id))


def log_of_job(connection: Connection, account_id: str, job_id: str) -> list[LoggedAttempt]:
    """The same of everything that was told of a job.

    Raises:
        NotFoundError: Nothing is to be told of such a job of the account.
    """
    messages = select(message.c.id).where(
        message.c.job_id == job_id, message.c.account_id == account_id
    )
    if connection.execute(messages.limit(1)).scalar() is None:
        raise NotFoundError("nothing is told of a request of this id")
    return _log(connection, messages)


def _log(connection: Connection, messages: Select[str]) -> list[LoggedAttempt]:
    tried = messages.where(message.c.num_attempts > 0)
    newest = tried.order_by(message.c.id.desc()).limit(_MOST_LOGGED).scalar_subquery()
    query = (
        select(
            message.c.id,
            message.c.job_id,
            message.c.event_type,
            delivery.c.attempt,
            delivery.c.started_at,
            delivery.c.duration_s,
            delivery.c.status,
            delivery.c.error,
        )
        .join(delivery, delivery.c.message_id == message.c.id)
        .where(message.c.id.in_(newest))
        .order_by(delivery.c.started_at.desc(), message.c.id.desc())
        .limit(_MOST_LOGGED)
    )
    return [LoggedAttempt(*row) for row in connection.execute(query)]


def _check_room(connection: Connection, account_id: str) -> None:
    if _count(connection, account_id, _IS_ON) >= MAX_WEBHOOKS:
        raise InvalidRequestError(
            f"an account has at most {MAX_WEBHOOKS} webhooks; switch another one off first"
        )


def _count(connection: Connection, account_id: str, *conditions: ColumnElement[bool]) -> int:
    query = select(func.count()).where(webhook.c.account_id == account_id, *conditions)
    return connection.execute(query).scalar_one()


def _lock(connection: Connection, account_id: str) -> None:
    """Of two changes at once, the second counts what the first did."""
    connection.execute(select(account.c.id).where(account.c.id == account_id).with_for_update())


def _webhook(row: Row[Any]) -> Webhook:
    event_types = tuple(row.event_types.split())
    is_active = row.disabled_at is None
    return Webhook(row.id, row.url, event_types, row.created_at, is_active=is_active)
