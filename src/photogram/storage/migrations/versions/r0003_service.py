"""Durable jobs and their pictures, idempotent answers, webhooks, rights of keys, operators' keys.

Keys that were made before have every right, and no limit of their own. Jobs that were made before
are not durable.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_AN_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add tables and columns; no row of the ledger changes."""
    _add_rights_of_keys()
    _add_operators()
    _add_durability_of_jobs()
    _count_what_keys_have_spent()
    _create_pictures()
    _create_webhooks()


def _add_rights_of_keys() -> None:
    for column in (
        sa.Column("name", sa.String),
        sa.Column(
            "scopes", sa.String, nullable=False, server_default="generate read webhooks keys"
        ),
        sa.Column("requests_per_minute", sa.Integer),
        sa.Column("jobs_at_once", sa.Integer),
        sa.Column("spend_cap_micro", sa.BigInteger),
        sa.Column("settled_micro", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("expires_at", _AN_INSTANT),
    ):
        op.add_column("api_key", column)
    # By hand: alembic would add the reference in a second statement, which SQLite does not have.
    op.execute("ALTER TABLE api_key ADD COLUMN counts_as VARCHAR REFERENCES api_key (id)")
    op.create_index("keys_of_an_account", "api_key", ["account_id"])
    op.create_index("keys_that_count_together", "api_key", ["counts_as"])


def _add_operators() -> None:
    op.create_table(
        "admin_key",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("token_hash", sa.String, nullable=False),
        sa.Column("created_at", _AN_INSTANT, nullable=False),
        sa.Column("revoked_at", _AN_INSTANT),
    )
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("details", sa.Text, nullable=False, server_default="{}"),
        sa.Column("created_at", _AN_INSTANT, nullable=False),
    )
    op.create_index("audit_by_time", "audit_entry", ["created_at"])
    op.create_table(
        "installation",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )


def _add_durability_of_jobs() -> None:
    op.create_table(
        "server",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("started_at", _AN_INSTANT, nullable=False),
        sa.Column("lease_until", _AN_INSTANT, nullable=False),
    )
    # By hand: alembic would add the reference in a second statement, which SQLite does not have.
    op.execute("ALTER TABLE job ADD COLUMN server_id VARCHAR REFERENCES server (id)")
    for column in (
        sa.Column("request_id", sa.String),
        sa.Column("model", sa.String, nullable=False, server_default="flux-dev"),
        sa.Column("request", sa.Text),
        sa.Column("is_durable", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("deadline_at", _AN_INSTANT),
        sa.Column("webhook_url", sa.String),
        sa.Column("webhook_secret", sa.String),
        sa.Column("error_message", sa.String),
        sa.Column("result", sa.Text),
    ):
        op.add_column("job", column)
    op.execute("INSERT INTO job_step (from_state, to_state) VALUES ('running', 'queued')")
    op.create_index("jobs_of_an_account", "job", ["account_id", "created_at"])
    op.create_index("jobs_of_a_key", "job", ["key_id", "created_at"])
    op.create_index("jobs_by_request_id", "job", ["account_id", "request_id", "created_at"])
    op.create_index("jobs_of_a_server", "job", ["server_id"])
    _create_partial_index("remembered_jobs", "job", ["finished_at"], "request IS NOT NULL")


def _count_what_keys_have_spent() -> None:
    op.execute("""
        UPDATE api_key SET settled_micro = COALESCE((
            SELECT SUM(paid.amount_micro) FROM job
            JOIN transfer AS paid ON paid.pending_id = job.hold_id AND paid.phase = 'post'
            WHERE job.key_id = api_key.id), 0)
    """)


def _create_pictures() -> None:
    op.create_table(
        "image",
        sa.Column("job_id", sa.String, sa.ForeignKey("job.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("file_name", sa.String, nullable=False, unique=True),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        *_file_columns(),
        sa.Column("expires_at", _AN_INSTANT, nullable=False),
        sa.Column("removed_at", _AN_INSTANT),
    )
    _create_partial_index("kept_images", "image", ["expires_at"], "removed_at IS NULL")
    op.create_table(
        "source",
        sa.Column("file_name", sa.String, primary_key=True),
        sa.Column("job_id", sa.String, sa.ForeignKey("job.id"), nullable=False),
    )
    op.create_table(
        "idempotency",
        sa.Column("account_id", sa.String, sa.ForeignKey("account.id"), primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("job_id", sa.String, sa.ForeignKey("job.id"), nullable=False),
        sa.Column("expires_at", _AN_INSTANT, nullable=False),
    )
    op.create_index("idempotency_by_expiry", "idempotency", ["expires_at"])
    op.create_table(
        "asset",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("account_id", sa.String, sa.ForeignKey("account.id"), nullable=False),
        sa.Column("file_name", sa.String, nullable=False, unique=True),
        *_file_columns(),
        sa.Column("created_at", _AN_INSTANT, nullable=False),
        sa.Column("expires_at", _AN_INSTANT, nullable=False),
    )
    op.create_index("assets_by_expiry", "asset", ["expires_at"])


def _file_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("content_type", sa.String, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
    ]


def _create_webhooks() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("account_id", sa.String, sa.ForeignKey("account.id"), nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("secret", sa.String, nullable=False),
        sa.Column("event_types", sa.String, nullable=False),
        sa.Column("created_at", _AN_INSTANT, nullable=False),
        sa.Column("disabled_at", _AN_INSTANT),
    )
    op.create_index("webhooks_of_an_account", "webhook", ["account_id"])
    op.create_table(
        "message",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("account_id", sa.String, sa.ForeignKey("account.id"), nullable=False),
        sa.Column("job_id", sa.String, sa.ForeignKey("job.id")),
        sa.Column("webhook_id", sa.String, sa.ForeignKey("webhook.id")),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("secret", sa.String),
        sa.Column("event_type", sa.String, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("num_attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("created_at", _AN_INSTANT, nullable=False),
        sa.Column("next_at", _AN_INSTANT, nullable=False),
        sa.Column("done_at", _AN_INSTANT),
        sa.Column("outcome", sa.String),
    )
    _create_partial_index(
        "undone_messages", "message", ["account_id", "next_at"], "done_at IS NULL"
    )
    op.create_index("messages_of_a_webhook", "message", ["webhook_id", "id"])
    op.create_index("messages_of_a_job", "message", ["job_id"])
    op.create_index("messages_by_age", "message", ["created_at"])
    op.create_table(
        "delivery",
        sa.Column("message_id", sa.String, sa.ForeignKey("message.id"), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("started_at", _AN_INSTANT, nullable=False),
        sa.Column("duration_s", sa.Float, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.String),
    )


def _create_partial_index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
