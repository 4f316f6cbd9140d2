"""Accounts with their balances, and the transfers that these are the sums of.

Amounts are integers in micro-credits. What the columns cannot say (transfers are append-only,
balances are their sums) is kept by the triggers of `guards`. It knows nothing of prices.

Account kinds: ``customer`` has a name and a balance; ``issued`` is where grants come from;
``revenue`` is where settled holds go. The last two exist once each, with their kind as id.
"""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, String, Table

from photogram.storage.tables.columns import UtcDateTime, metadata

ISSUED = "issued"
REVENUE = "revenue"

# Half of a BIGINT: a sum that would leave 64 bits fails this check before it can wrap or round.
_MAX_MICRO = 2**62


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
