"""Free credits, refunds, and the allowed steps of a job as a table.

Credits that were granted before count as paid for.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_STEPS = (
    ("queued", "running"),
    ("queued", "failed"),
    ("queued", "cancelled"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "cancelled"),
)


def upgrade() -> None:
    """Add columns and a table; no row of the ledger changes."""
    _add_free_part(
        "account",
        # The issuing account owes what it has issued: its balance is no limit.
        "free_micro >= 0 AND (kind <> 'customer'"
        " OR free_micro <= credits_posted - debits_posted - debits_pending)",
    )
    _add_free_part("transfer", "free_micro BETWEEN 0 AND amount_micro")
    op.create_index("transfers_of_a_job", "transfer", ["job_id"])
    step = op.create_table(
        "job_step",
        sa.Column("from_state", sa.String, primary_key=True),
        sa.Column("to_state", sa.String, primary_key=True),
    )
    op.bulk_insert(step, [{"from_state": here, "to_state": there} for here, there in _STEPS])


def _add_free_part(table: str, check: str) -> None:
    # By hand: alembic would add the check in a second statement, which SQLite does not have.
    op.execute(
        f"ALTER TABLE {table} ADD COLUMN free_micro BIGINT NOT NULL DEFAULT 0 CHECK ({check})"
    )
