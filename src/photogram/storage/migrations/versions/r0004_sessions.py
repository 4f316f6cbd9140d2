"""Sessions of browsers.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add a table; nothing else changes."""
    op.create_table(
        "session",
        sa.Column("token_hash", sa.String, primary_key=True),
        sa.Column("key_id", sa.String, sa.ForeignKey("api_key.id")),
        sa.Column("operator_key_id", sa.String, sa.ForeignKey("admin_key.id")),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(key_id IS NULL) <> (operator_key_id IS NULL)", name="one_key"),
    )
    op.create_index("sessions_by_expiry", "session", ["expires_at"])
