"""What is told to others: where to, what is still to be told, and every attempt to do so.

A message is written in the transaction that makes it true, and delivered afterwards.
"""

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, String, Table, Text

from photogram.storage.tables.columns import UtcDateTime, metadata

# An account's own standing order; a single request may also name an address of its own.
webhook = Table(
    "webhook",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("url", String, nullable=False),
    Column("secret", String, nullable=False),
    # Words with spaces between them.
    Column("event_types", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
)
Index("webhooks_of_an_account", webhook.c.account_id)

message = Table(
    "message",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    # Null where it is a test of a webhook.
    Column("job_id", ForeignKey("job.id")),
    # Null where the request itself named the address.
    Column("webhook_id", ForeignKey("webhook.id")),
    Column("url", String, nullable=False),
    Column("secret", String),
    Column("event_type", String, nullable=False),
    Column("payload", Text, nullable=False),
    Column("num_attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    # When to try next; moved on before each attempt, so that two never make the same one.
    Column("next_at", UtcDateTime, nullable=False),
    Column("done_at", UtcDateTime),
    # How it ended.
    Column("outcome", String),
)
_is_undone = message.c.done_at.is_(None)
Index(
    "undone_messages",
    message.c.account_id,
    message.c.next_at,
    sqlite_where=_is_undone,
    postgresql_where=_is_undone,
)
Index("messages_of_a_webhook", message.c.webhook_id, message.c.id)
Index("messages_of_a_job", message.c.job_id)
Index("messages_by_age", message.c.created_at)

delivery = Table(
    "delivery",
    metadata,
    Column("message_id", ForeignKey("message.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("status", Integer),
    Column("error", String),
)
