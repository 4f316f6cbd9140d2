"""Accounts, keys, transfers and jobs, as SQLite databases were first made.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_MAX_MICRO = 2**62


def upgrade() -> None:
    """Make the first tables, and the two accounts of the system."""
    _create_account()
    op.create_table(
        "api_key",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("account_id", sa.String, sa.ForeignKey("account.id"), nullable=False),
        sa.Column("token_hash", sa.String, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
    )
    _create_transfer()
    _create_job()


def _total(name: str) -> sa.Column[int]:
    check = sa.CheckConstraint(f"{name} BETWEEN 0 AND {_MAX_MICRO}")
    return sa.Column(name, sa.BigInteger, check, nullable=False, server_default="0")


def _create_account() -> None:
    account = op.create_table(
        "account",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column(
            "kind",
            sa.String,
            sa.CheckConstraint("kind IN ('customer', 'issued', 'revenue')"),
            nullable=False,
        ),
        sa.Column("name", sa.String, unique=True),
        _total("debits_pending"),
        _total("debits_posted"),
        _total("credits_pending"),
        _total("credits_posted"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(kind = 'customer') = (name IS NOT NULL)"),
        sa.CheckConstraint(
            "kind <> 'customer' OR credits_posted - debits_posted - debits_pending >= 0",
            name="balance_never_below_zero",
        ),
    )
    rows = account.insert().values(created_at=sa.func.current_timestamp())
    for kind in ("issued", "revenue"):
        op.execute(rows.values(id=kind, kind=kind))


def _create_transfer() -> None:
    op.create_table(
        "transfer",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("debit_account_id", sa.String, sa.ForeignKey("account.id"), nullable=False),
        sa.Column("credit_account_id", sa.String, sa.ForeignKey("account.id"), nullable=False),
        sa.Column("amount_micro", sa.BigInteger, nullable=False),
        sa.Column(
            "phase",
            sa.String,
            sa.CheckConstraint("phase IN ('single', 'pending', 'post', 'void')"),
            nullable=False,
        ),
        sa.Column("pending_id", sa.String, sa.ForeignKey("transfer.id")),
        sa.Column("idem_ref", sa.String, nullable=False, unique=True),
        sa.Column("job_id", sa.String),
        sa.Column("reason", sa.String),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(phase IN ('post', 'void')) = (pending_id IS NOT NULL)"),
        sa.CheckConstraint("amount_micro > 0 OR (amount_micro = 0 AND phase <> 'single')"),
        sa.CheckConstraint("debit_account_id <> credit_account_id"),
    )
    op.create_index(
        "one_resolution_per_hold",
        "transfer",
        ["pending_id"],
        unique=True,
        sqlite_where=sa.text("pending_id IS NOT NULL"),
        postgresql_where=sa.text("pending_id IS NOT NULL"),
    )


def _create_job() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("account_id", sa.String, sa.ForeignKey("account.id"), nullable=False),
        sa.Column("key_id", sa.String, sa.ForeignKey("api_key.id"), nullable=False),
        sa.Column("hold_id", sa.String, sa.ForeignKey("transfer.id"), nullable=False, unique=True),
        sa.Column(
            "state",
            sa.String,
            sa.CheckConstraint(
                "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')"
            ),
            nullable=False,
        ),
        sa.Column("error_code", sa.String),
        sa.Column("price_version", sa.String, nullable=False),
        sa.Column("num_images", sa.Integer, nullable=False),
        sa.Column("num_steps", sa.Integer, nullable=False),
        sa.Column("guidance", sa.Float, nullable=False),
        sa.Column("pixel_factor", sa.String, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
    )
    op.create_index(
        "open_jobs",
        "job",
        ["state"],
        sqlite_where=sa.text("state IN ('queued', 'running')"),
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
