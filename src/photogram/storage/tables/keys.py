"""Who may do what: keys of accounts, keys of operators, browsers' sessions, and what was done.

A token is never stored, only its keyed hash.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from photogram.storage.tables.columns import UtcDateTime, metadata

ALL_SCOPES = "generate read webhooks keys"

api_key = Table(
    "api_key",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("token_hash", String, nullable=False),
    Column("name", String),
    # Words with spaces between them.
    Column("scopes", String, nullable=False, server_default=ALL_SCOPES),
    # Null: the server's own limit, or none.
    Column("requests_per_minute", Integer),
    Column("jobs_at_once", Integer),
    Column("spend_cap_micro", BigInteger),
    # The key whose limits it shares; null: it has its own.
    Column("counts_as", ForeignKey("api_key.id")),
    # The sum of what its jobs have cost. What open ones hold comes on top.
    Column("settled_micro", BigInteger, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)
Index("keys_of_an_account", api_key.c.account_id)
Index("keys_that_count_together", api_key.c.counts_as)

admin_key = Table(
    "admin_key",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("token_hash", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
)

# What a browser signed in with: one of the two kinds of key.
session = Table(
    "session",
    metadata,
    Column("token_hash", String, primary_key=True),
    Column("key_id", ForeignKey("api_key.id")),
    Column("operator_key_id", ForeignKey("admin_key.id")),
    Column("expires_at", UtcDateTime, nullable=False),
    CheckConstraint("(key_id IS NULL) <> (operator_key_id IS NULL)", name="one_key"),
)
Index("sessions_by_expiry", session.c.expires_at)

# Append-only; a guard keeps it so.
audit_entry = Table(
    "audit_entry",
    metadata,
    Column("id", String, primary_key=True),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("details", Text, nullable=False, server_default="{}"),
    Column("created_at", UtcDateTime, nullable=False),
)
Index("audit_by_time", audit_entry.c.created_at)

# What belongs to the database as a whole, such as the fingerprint of the secret that hashes tokens.
installation = Table(
    "installation",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)
