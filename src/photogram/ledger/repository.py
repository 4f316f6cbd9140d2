"""The SQL that moves credits. Every function runs inside its caller's transaction.

The account row is locked by the update that changes it (the database is locked as a whole on
SQLite), always the customer's before the system's. Nothing here decides what is bought, or when.
"""

from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, Select, bindparam, insert, select, update

from photogram.core import clock, ids
from photogram.core.errors import ConflictError, InsufficientCreditsError, NotFoundError
from photogram.ledger.entries import Phase, Transfer
from photogram.ledger.pricing import format_credits
from photogram.storage.tables import ISSUED, REVENUE, account, transfer

_JOB_ACTOR = "job"

_AVAILABLE = account.c.credits_posted - account.c.debits_posted - account.c.debits_pending
_IS_CUSTOMER = (account.c.id == bindparam("account_id")) & (account.c.kind == "customer")
_TOTALS = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")

# Built once: SQLAlchemy takes longer to build a statement than SQLite to run it.
_BALANCE = select(_AVAILABLE).where(_IS_CUSTOMER)
_HOLD = (
    update(account)
    .where(_IS_CUSTOMER, bindparam("amount_micro") <= _AVAILABLE)
    .values(debits_pending=account.c.debits_pending + bindparam("amount_micro"))
)
_ADD = (
    update(account)
    .where(account.c.id == bindparam("account_id"))
    .values({name: account.c[name] + bindparam(f"more_{name}") for name in _TOTALS})
)
_INSERT = insert(transfer)
_TRANSFER = select(*(transfer.c[field.name] for field in fields(Transfer)))
_BY_ID = _TRANSFER.where(transfer.c.id == bindparam("key"))
_BY_REFERENCE = _TRANSFER.where(transfer.c.idem_ref == bindparam("key"))


def available(connection: Connection, account_id: str) -> int:
    """Micro-credits that the account may spend: posted, less what is held.

    Raises:
        NotFoundError: There is no such account.
    """
    balance: int | None = connection.execute(_BALANCE, {"account_id": account_id}).scalar()
    if balance is None:
        raise NotFoundError(f"there is no account {account_id!r}")
    return balance


def grant(
    connection: Connection, account_id: str, amount_micro: int, idem_ref: str, actor: str
) -> None:
    """Give an account credits.

    Raises:
        NotFoundError: There is no such account.
        ConflictError: The reference was used for another transfer.
    """
    available(connection, account_id)
    entry = Transfer(ids.new_id(), ISSUED, account_id, amount_micro, Phase.SINGLE, idem_ref, actor)
    if _repeated(connection, entry) is None:
        _insert(connection, entry)
        _add(connection, account_id, credits_posted=amount_micro)
        _add(connection, ISSUED, debits_posted=amount_micro)


def reserve(
    connection: Connection, account_id: str, amount_micro: int, idem_ref: str, job_id: str
) -> str:
    """Hold credits for a job; returns the hold's id.

    Raises:
        InsufficientCreditsError: The account has less than that.
        NotFoundError: There is no such account.
        ConflictError: The reference was used for another transfer.
    """
    entry = Transfer(
        ids.new_id(),
        account_id,
        REVENUE,
        amount_micro,
        Phase.PENDING,
        idem_ref,
        _JOB_ACTOR,
        job_id=job_id,
    )
    repeated_id = _repeated(connection, entry)
    if repeated_id is not None:
        return repeated_id
    # One statement asks and takes, so that nobody else can take in between.
    held = connection.execute(_HOLD, {"account_id": account_id, "amount_micro": amount_micro})
    if held.rowcount == 0:
        balance = available(connection, account_id)
        raise InsufficientCreditsError(
            f"not enough credits: the balance is {format_credits(balance)} credits,"
            f" and this request costs {format_credits(amount_micro)}"
        )
    _add(connection, REVENUE, credits_pending=amount_micro)
    _insert(connection, entry)
    return entry.id


def settle(connection: Connection, hold_id: str, amount_micro: int) -> None:
    """Take `amount_micro` of a hold for good, and give the rest of it back.

    Settling again with the same amount changes nothing.

    Raises:
        ConflictError: The hold is smaller, or was resolved in another way.
        NotFoundError: There is no such hold.
    """
    hold = _hold(connection, hold_id)
    if amount_micro > hold.amount_micro:
        raise ConflictError(
            f"hold {hold_id} is of {hold.amount_micro} micro-credits; {amount_micro} is more"
        )
    if _resolve(connection, hold, Phase.POST, amount_micro):
        _add(
            connection,
            hold.debit_account_id,
            debits_pending=-hold.amount_micro,
            debits_posted=amount_micro,
        )
        _add(
            connection,
            hold.credit_account_id,
            credits_pending=-hold.amount_micro,
            credits_posted=amount_micro,
        )


def release(connection: Connection, hold_id: str, reason: str) -> None:
    """Give a whole hold back. Releasing again changes nothing.

    Raises:
        ConflictError: The hold was settled.
        NotFoundError: There is no such hold.
    """
    hold = _hold(connection, hold_id)
    if _resolve(connection, hold, Phase.VOID, hold.amount_micro, reason):
        _add(connection, hold.debit_account_id, debits_pending=-hold.amount_micro)
        _add(connection, hold.credit_account_id, credits_pending=-hold.amount_micro)


def _hold(connection: Connection, hold_id: str) -> Transfer:
    hold = _find(connection, _BY_ID, hold_id)
    if hold is None or hold.phase != Phase.PENDING:
        raise NotFoundError(f"there is no hold {hold_id!r}")
    return hold


def _resolve(
    connection: Connection,
    hold: Transfer,
    phase: Phase,
    amount_micro: int,
    reason: str | None = None,
) -> bool:
    """Write the hold's end; False if it ended in just this way before."""
    entry = Transfer(
        ids.new_id(),
        hold.debit_account_id,
        hold.credit_account_id,
        amount_micro,
        phase,
        f"{hold.id}:end",
        _JOB_ACTOR,
        pending_id=hold.id,
        job_id=hold.job_id,
        reason=reason,
    )
    if _repeated(connection, entry) is not None:
        return False
    _insert(connection, entry)
    return True


def _repeated(connection: Connection, entry: Transfer) -> str | None:
    """The id of the transfer with the same reference, if it is the same transfer."""
    found = _find(connection, _BY_REFERENCE, entry.idem_ref)
    if found is None:
        return None
    is_same = (
        found.phase == entry.phase
        and found.debit_account_id == entry.debit_account_id
        and found.credit_account_id == entry.credit_account_id
        and found.amount_micro == entry.amount_micro
    )
    if not is_same:
        raise ConflictError(f"the reference {entry.idem_ref!r} is another transfer's")
    return found.id


def _find(connection: Connection, query: Select[Any], key: str) -> Transfer | None:
    row = connection.execute(query, {"key": key}).one_or_none()
    return None if row is None else Transfer(**row._asdict() | {"phase": Phase(row.phase)})


def _insert(connection: Connection, entry: Transfer) -> None:
    connection.execute(_INSERT, asdict(entry) | {"created_at": clock.now()})


def _add(connection: Connection, account_id: str, **changes: int) -> None:
    """Change an account's columns, which also locks its row."""
    more = {f"more_{name}": changes.get(name, 0) for name in _TOTALS}
    connection.execute(_ADD, more | {"account_id": account_id})
