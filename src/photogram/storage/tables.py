"""The tables, and every rule about them that the database itself can keep.

Amounts are integers in micro-credits; instants are UTC. What the columns cannot say (transfers are
append-only, a job's states only go forward) is kept by the triggers of `guards`. It knows nothing
of prices, tokens or engines.

Account kinds: ``customer`` has a name and a balance; ``issued`` is where grants come from;
``revenue`` is where settled holds go. The last two exist once each, with their kind as id.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
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
    insert,
)

from photogram.core import clock
from photogram.storage import guards

SCHEMA_VERSION = 1
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
        return None if value is None else value.replace(tzinfo=UTC)


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
    Column("created_at", UtcDateTime, nullable=False),
    CheckConstraint("(kind = 'customer') = (name IS NOT NULL)"),
    CheckConstraint(
        "kind <> 'customer' OR credits_posted - debits_posted - debits_pending >= 0",
        name="balance_never_below_zero",
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


def create_schema(connection: Connection) -> None:
    """Make all tables, guards and the two system accounts, in the caller's transaction."""
    metadata.create_all(connection, checkfirst=False)
    guards.create_guards(connection)
    for kind in (ISSUED, REVENUE):
        connection.execute(insert(account).values(id=kind, kind=kind, created_at=clock.now()))
