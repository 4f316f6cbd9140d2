"""The tables, and every rule about them that the database itself can keep.

Amounts are integers in micro-credits; instants are UTC. What the columns cannot say (transfers are
append-only, balances are their sums, a job's states only go forward) is kept by the triggers of
`guards`. A database gets its tables from `migrations`, never from here; a test compares the two. It
knows nothing of prices, tokens or engines.

Account kinds: ``customer`` has a name and a balance; ``issued`` is where grants come from;
``revenue`` is where settled holds go. The last two exist once each, with their kind as id.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
)
from sqlalchemy.dialects.postgresql import Insert, insert

ISSUED = "issued"
REVENUE = "revenue"

# Half of a BIGINT: a sum that would leave 64 bits fails this check before it can wrap or round.
_MAX_MICRO = 2**62


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC instant, also where the database keeps no zone (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()


def _total(name: str) -> Column[int]:
    return Column(
        name,
        BigInteger,
        CheckConstraint(f"{name} BETWEEN 0 AND {_MAX_MICRO}"),
        nullable=False,
        server_default="0",
    )


account = Table(
    "account",
    metadata,
    Column("id", String, primary_key=True),
    Column(
        "kind",
        String,
        CheckConstraint("kind IN ('customer', 'issued', 'revenue')"),
        nullable=False,
    ),
    Column("name", String, unique=True),
    _total("debits_pending"),
    _total("debits_posted"),
    _total("credits_pending"),
    _total("credits_posted"),
    # Of what a customer may spend, the part that was given for free.
    Column("free_micro", BigInteger, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    CheckConstraint("(kind = 'customer') = (name IS NOT NULL)"),
    CheckConstraint(
        "kind <> 'customer' OR credits_posted - debits_posted - debits_pending >= 0",
        name="balance_never_below_zero",
    ),
    CheckConstraint(
        "free_micro >= 0 AND (kind <> 'customer'"
        " OR free_micro <= credits_posted - debits_posted - debits_pending)"
    ),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("token_hash", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
)

transfer = Table(
    "transfer",
    metadata,
    Column("id", String, primary_key=True),
    Column("debit_account_id", ForeignKey("account.id"), nullable=False),
    Column("credit_account_id", ForeignKey("account.id"), nullable=False),
    Column("amount_micro", BigInteger, nullable=False),
    Column(
        "free_micro",
        BigInteger,
        CheckConstraint("free_micro BETWEEN 0 AND amount_micro"),
        nullable=False,
        server_default="0",
    ),
    Column(
        "phase",
        String,
        CheckConstraint("phase IN ('single', 'pending', 'post', 'void')"),
        nullable=False,
    ),
    Column("pending_id", ForeignKey("transfer.id")),
    Column("idem_ref", String, nullable=False, unique=True),
    Column("job_id", String),
    Column("reason", String),
    Column("actor", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    CheckConstraint("(phase IN ('post', 'void')) = (pending_id IS NOT NULL)"),
    # A hold may be of nothing (an operator may serve for free); a grant may not.
    CheckConstraint("amount_micro > 0 OR (amount_micro = 0 AND phase <> 'single')"),
    CheckConstraint("debit_account_id <> credit_account_id"),
)
Index(
    "one_resolution_per_hold",
    transfer.c.pending_id,
    unique=True,
    sqlite_where=transfer.c.pending_id.is_not(None),
    postgresql_where=transfer.c.pending_id.is_not(None),
)
Index("transfers_of_a_job", transfer.c.job_id)

job_step = Table(
    "job_step",
    metadata,
    Column("from_state", String, primary_key=True),
    Column("to_state", String, primary_key=True),
)

job = Table(
    "job",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("key_id", ForeignKey("api_key.id"), nullable=False),
    Column("hold_id", ForeignKey("transfer.id"), nullable=False, unique=True),
    Column(
        "state",
        String,
        CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')"),
        nullable=False,
    ),
    Column("error_code", String),
    # With these, anyone can work out again what the job was priced at.
    Column("price_version", String, nullable=False),
    Column("num_images", Integer, nullable=False),
    Column("num_steps", Integer, nullable=False),
    Column("guidance", Float, nullable=False),
    Column("pixel_factor", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
)
_is_open = job.c.state.in_(["queued", "running"])
Index("open_jobs", job.c.state, sqlite_where=_is_open, postgresql_where=_is_open)


def insert_unless_there(table: Table) -> Insert:
    """An insert that does nothing (`rowcount` 0) where a unique value is taken.

    Of two that write the same value at once, one waits until the other's is there or is not.
    """
    # PostgreSQL's form of a statement that SQLite spells in the same way.
    return insert(table).on_conflict_do_nothing()
