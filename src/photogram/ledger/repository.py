"""The SQL that moves credits. Every function runs inside its caller's transaction.

Whoever moves a customer's credits locks that account's row first (SQLite's transactions lock the
whole database), decides, and writes one transfer; the database's own triggers move the totals of
its two accounts, and refuse what does not fit. Nothing here decides what is bought, or when.
"""

from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, or_, select, update

from photogram.core import clock, ids
from photogram.core.errors import ConflictError, InsufficientCreditsError, NotFoundError
from photogram.ledger.entries import Balance, Phase, Transfer
from photogram.ledger.pricing import format_credits
from photogram.storage import journal
from photogram.storage.tables.columns import insert_unless_there
from photogram.storage.tables.jobs import IS_OPEN, job
from photogram.storage.tables.keys import api_key
from photogram.storage.tables.ledger import ISSUED, REVENUE, account, transfer

_JOB_ACTOR = "job"

# Built once: SQLAlchemy takes longer to build a statement than SQLite to run it.
_BALANCE = select(
    account.c.credits_posted - account.c.debits_posted - account.c.debits_pending,
    account.c.free_micro,
).where(account.c.id == bindparam("account_id"), account.c.kind == "customer")
_LOCKED_BALANCE = _BALANCE.with_for_update()
_INSERT = insert_unless_there(transfer)
_TRANSFER = select(*(transfer.c[field.name] for field in fields(Transfer)))
_BY_ID = _TRANSFER.where(transfer.c.id == bindparam("key"))
_BY_REFERENCE = _TRANSFER.where(transfer.c.idem_ref == bindparam("key"))
_PAYMENT = _TRANSFER.where(transfer.c.job_id == bindparam("key"), transfer.c.phase == Phase.POST)
_REFUNDED = select(
    func.coalesce(func.sum(transfer.c.amount_micro), 0),
    func.coalesce(func.sum(transfer.c.free_micro), 0),
).where(transfer.c.job_id == bindparam("key"), transfer.c.phase == Phase.SINGLE)
_COUNTED = select(func.coalesce(api_key.c.counts_as, api_key.c.id)).where(
    api_key.c.id == bindparam("key_id")
)
_TOGETHER = select(api_key.c.id).where(
    or_(
        api_key.c.id == _COUNTED.scalar_subquery(),
        api_key.c.counts_as == _COUNTED.scalar_subquery(),
    )
)
_SETTLED = select(func.coalesce(func.sum(api_key.c.settled_micro), 0)).where(
    api_key.c.id.in_(_TOGETHER)
)
_HELD = (
    select(func.coalesce(func.sum(transfer.c.amount_micro), 0))
    .join(job, job.c.hold_id == transfer.c.id)
    .where(job.c.key_id.in_(_TOGETHER), IS_OPEN)
)
_SPENT = select(_SETTLED.scalar_subquery() + _HELD.scalar_subquery())
_COUNT_AS_SETTLED = (
    update(api_key)
    .where(
        api_key.c.id == select(job.c.key_id).where(job.c.id == bindparam("job")).scalar_subquery()
    )
    .values(settled_micro=api_key.c.settled_micro + bindparam("amount_micro"))
)
_LOCKED_JOB = select(job.c.id).where(job.c.id == bindparam("key")).with_for_update()


def spendable(connection: Connection, account_id: str) -> Balance:
    """What the account may spend: posted, less what is held.

    Raises:
        NotFoundError: There is no such customer.
    """
    return _balance(connection, _BALANCE, account_id)


def available(connection: Connection, account_id: str) -> int:
    """`spendable`, free and paid together, in micro-credits."""
    return spendable(connection, account_id).total_micro


def lock(connection: Connection, account_id: str) -> None:
    """Keep everybody else from moving this account's credits until the transaction ends.

    Raises:
        NotFoundError: There is no such customer.
    """
    _balance(connection, _LOCKED_BALANCE, account_id)


def grant(
    connection: Connection,
    account_id: str,
    amount_micro: int,
    idem_ref: str,
    actor: str,
    *,
    is_free: bool,
    reason: str | None,
) -> None:
    """Give an account credits, paid for or free.

    Raises:
        NotFoundError: There is no such account.
        ConflictError: The reference was used for another transfer.
    """
    _balance(connection, _LOCKED_BALANCE, account_id)
    entry = Transfer(
        ids.new_id(),
        ISSUED,
        account_id,
        amount_micro,
        Phase.SINGLE,
        idem_ref,
        actor,
        free_micro=amount_micro if is_free else 0,
        reason=reason,
    )
    repeated = _write(connection, entry)
    if repeated is None:
        _journal(connection, "credits.grant", account_id, entry)
    elif repeated.free_micro != entry.free_micro:
        raise _another(idem_ref)


def reserve(
    connection: Connection, account_id: str, amount_micro: int, idem_ref: str, job_id: str
) -> str:
    """Hold credits for a job, free ones first; returns the hold's id.

    Raises:
        InsufficientCreditsError: The account has less than that.
        NotFoundError: There is no such account.
        ConflictError: The reference was used for another transfer.
    """
    # From here to the commit nobody else can take of this account.
    balance = _balance(connection, _LOCKED_BALANCE, account_id)
    entry = Transfer(
        ids.new_id(),
        account_id,
        REVENUE,
        amount_micro,
        Phase.PENDING,
        idem_ref,
        _JOB_ACTOR,
        free_micro=min(amount_micro, balance.free_micro),
        job_id=job_id,
    )
    if amount_micro > balance.total_micro:
        repeated = _repeated(connection, entry)
        if repeated is None:
            raise InsufficientCreditsError(
                f"not enough credits: the balance is {format_credits(balance.total_micro)}"
                f" credits, and this request costs {format_credits(amount_micro)}"
            )
        return repeated.id
    return (_write(connection, entry) or entry).id


def settle(connection: Connection, hold_id: str, amount_micro: int) -> None:
    """Take `amount_micro` of a hold for good, free credits first, and give the rest of it back.

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
        values = {"job": hold.job_id, "amount_micro": amount_micro}
        connection.execute(_COUNT_AS_SETTLED, values)


def release(connection: Connection, hold_id: str, reason: str) -> None:
    """Give a whole hold back. Releasing again changes nothing.

    Raises:
        ConflictError: The hold was settled.
        NotFoundError: There is no such hold.
    """
    hold = _hold(connection, hold_id)
    _resolve(connection, hold, Phase.VOID, hold.amount_micro, reason)


def refund(
    connection: Connection,
    job_id: str,
    amount_micro: int | None,
    idem_ref: str,
    actor: str,
    reason: str,
) -> Transfer:
    """Give back what a job has cost, or a part of it, paid credits first.

    Args:
        connection: In a transaction.
        job_id: A job that has succeeded.
        amount_micro: Above zero; None: all that was not given back before.
        idem_ref: The same reference again gives nothing more.
        actor: Who decides it.
        reason: Why.

    Returns:
        The transfer; the first one, if the reference was used before.

    Raises:
        NotFoundError: There is no such job.
        ConflictError: The job has cost less than that, or the reference is another transfer's.
    """
    if connection.execute(_LOCKED_JOB, {"key": job_id}).one_or_none() is None:
        raise NotFoundError(f"there is no job {job_id!r}")
    payment = _find(connection, _PAYMENT, job_id)
    if payment is None:
        raise ConflictError(f"job {job_id!r} has cost nothing")
    _balance(connection, _LOCKED_BALANCE, payment.debit_account_id)
    # PostgreSQL adds integers up to decimals.
    given_micro, given_free_micro = map(int, connection.execute(_REFUNDED, {"key": job_id}).one())
    left_micro = payment.amount_micro - given_micro
    left_paid_micro = left_micro - (payment.free_micro - given_free_micro)
    earlier = _find(connection, _BY_REFERENCE, idem_ref)
    wanted_micro = amount_micro
    if wanted_micro is None:
        wanted_micro = left_micro if earlier is None else earlier.amount_micro
    entry = Transfer(
        ids.new_id(),
        REVENUE,
        payment.debit_account_id,
        wanted_micro,
        Phase.SINGLE,
        idem_ref,
        actor,
        free_micro=max(wanted_micro - left_paid_micro, 0),
        job_id=job_id,
        reason=reason,
    )
    if earlier is None and not 0 < wanted_micro <= left_micro:
        raise ConflictError(
            f"of job {job_id!r}, {format_credits(left_micro)} credits can be given back"
        )
    repeated = _repeated(connection, entry) if earlier else _write(connection, entry)
    if repeated is None:
        _journal(connection, "credits.refund", job_id, entry)
    return repeated or entry


def check_spend_cap(connection: Connection, key_id: str, cap_micro: int, cost_micro: int) -> None:
    """Refuse a job that a key may not pay for, whatever its account has.

    To be called between `reserve`, which locks the account, and the writing of the job: nobody else
    can then spend by the same key, and what this job holds is not counted yet. Keys that count
    together are counted together. Refunds do not give a cap back.

    Raises:
        InsufficientCreditsError: With what is settled and held for the key's other jobs, the price
            would exceed the cap.
    """
    # PostgreSQL adds integers up to decimals.
    spent_micro = int(connection.execute(_SPENT, {"key_id": key_id}).scalar_one())
    if spent_micro + cost_micro > cap_micro:
        raise InsufficientCreditsError(
            f"this key's spend cap is {format_credits(cap_micro)} credits, of which"
            f" {format_credits(spent_micro)} are spent or held, and this request costs"
            f" {format_credits(cost_micro)}; the account itself may have more credits"
        )


def _journal(connection: Connection, action: str, subject: str, entry: Transfer) -> None:
    journal.record(
        connection,
        entry.actor,
        action,
        subject,
        credits=format_credits(entry.amount_micro),
        free_credits=format_credits(entry.free_micro),
        reference=entry.idem_ref,
        reason=entry.reason,
    )


def _balance(connection: Connection, query: Select[Any], account_id: str) -> Balance:
    row = connection.execute(query, {"account_id": account_id}).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no account {account_id!r}")
    return Balance(*row)


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
    """End a hold; False if it ended in the same way before."""
    entry = Transfer(
        ids.new_id(),
        hold.debit_account_id,
        hold.credit_account_id,
        amount_micro,
        phase,
        f"{hold.id}:end",
        _JOB_ACTOR,
        free_micro=min(amount_micro, hold.free_micro),
        pending_id=hold.id,
        job_id=hold.job_id,
        reason=reason,
    )
    return _write(connection, entry) is None


def _write(connection: Connection, entry: Transfer) -> Transfer | None:
    """Write a transfer, unless its reference was used; then return the earlier one.

    The insert itself asks, so that of two who write the same reference at once one waits for the
    other and then finds it.
    """
    values = asdict(entry) | {"created_at": clock.now()}
    if connection.execute(_INSERT, values).rowcount == 1:
        return None
    return _repeated(connection, entry)


def _repeated(connection: Connection, entry: Transfer) -> Transfer | None:
    """The transfer that has this reference, if it is the same transfer."""
    found = _find(connection, _BY_REFERENCE, entry.idem_ref)
    if found is None:
        return None
    is_same = (
        found.phase == entry.phase
        and found.debit_account_id == entry.debit_account_id
        and found.credit_account_id == entry.credit_account_id
        and found.amount_micro == entry.amount_micro
        and found.job_id == entry.job_id
    )
    if not is_same:
        raise _another(entry.idem_ref)
    return found


def _another(idem_ref: str) -> ConflictError:
    return ConflictError(f"the reference {idem_ref!r} is another transfer's")


def _find(connection: Connection, query: Select[Any], key: str) -> Transfer | None:
    row = connection.execute(query, {"key": key}).one_or_none()
    return None if row is None else Transfer(**row._asdict() | {"phase": Phase(row.phase)})
