"""The SQL that moves jobs on. Every function runs inside its caller's transaction.

A job and its hold are opened together and closed together, so that credits are held for exactly as
long as a job is open. Whoever moves a job on names the fence that he got it with: who has lost it
to another owner, or to another attempt, changes nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from photogram.accounts import repository as accounts
from photogram.core import clock
from photogram.core.errors import ConflictError, NotFoundError
from photogram.core.messages import CANCELLED, DEFAULT_MODEL
from photogram.generation import announcement
from photogram.generation.orders import IdempotencyKey, KeptOrder, SourceNames
from photogram.generation.records import RunFigures, StoredImage
from photogram.generation.repository import answers, sources
from photogram.generation.states import OPEN_STATES, JobState
from photogram.ledger import repository as ledger
from photogram.storage.tables.jobs import image, job
from photogram.webhooks.models import JOB_COMPLETED, JOB_FAILED, Announcement
from photogram.webhooks.repository.outbox import announce

FIRST_FENCE = 1

_NOT_KEPT = (
    "cost_micro",
    "spend_cap_micro",
    "jobs_of_account",
    "jobs_of_key",
    "idempotency",
    "source",
)
_IS_OPEN = job.c.state.in_(OPEN_STATES)
_MINE = (job.c.id == bindparam("job_id")) & (job.c.fence == bindparam("held_fence"))

# Built once: SQLAlchemy takes longer to build a statement than SQLite to run it.
_INSERT = insert(job)
_INSERT_IMAGES = insert(image)
_START = (
    update(job)
    .where(_MINE, job.c.state == JobState.QUEUED)
    .values(
        state=JobState.RUNNING,
        attempt=job.c.attempt + 1,
        started_at=func.coalesce(job.c.started_at, bindparam("now")),
    )
    .returning(job.c.attempt)
)
_RUNNING = select(job.c.attempt).where(_MINE, job.c.state == JobState.RUNNING)
_TAKE = (
    update(job)
    .where(_MINE)
    .values(fence=job.c.fence + 1, server_id=bindparam("owner"))
    .returning(job.c.fence)
)
_TAKE_QUEUED = _TAKE.where(job.c.state == JobState.QUEUED)
_TAKE_RUNNING = _TAKE.where(job.c.state == JobState.RUNNING).values(state=JobState.QUEUED)
_LEAVE_RUNNING = _TAKE_RUNNING.values(attempt=job.c.attempt - 1)
_TAKEN = select(job.c.fence).where(
    job.c.id == bindparam("job_id"),
    job.c.fence == bindparam("held_fence") + 1,
    job.c.server_id == bindparam("owner"),
    job.c.state == JobState.QUEUED,
)
_CLOSE = (
    update(job)
    .where(_MINE, _IS_OPEN)
    .values(
        state=bindparam("last_state"),
        error_code=bindparam("code"),
        error_message=bindparam("words"),
        finished_at=bindparam("now"),
    )
    .returning(
        job.c.account_id,
        job.c.hold_id,
        job.c.is_durable,
        job.c.request,
        job.c.webhook_url,
        job.c.webhook_secret,
    )
)
_KEEP_RESULT = update(job).where(job.c.id == bindparam("job_id")).values(result=bindparam("text"))
_OF_ACCOUNT = (
    select(job.c.fence, job.c.state)
    .where(job.c.id == bindparam("job_id"), job.c.account_id == bindparam("account_id"))
    .with_for_update()
)


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is to be admitted, with all that its price came from.

    Attributes:
        model: The slug of what paints it.
        request: What is to be painted, as `KeptOrder` writes it.
        server_id: Who works on it; None: whoever finds it.
        spend_cap_micro: What its key may spend in all; None: no limit but the balance.
        jobs_of_account: How many jobs its account may have open at once; None: any number.
        jobs_of_key: The same of its key, where the account has a limit.
        source: Files that it begins from, which are there already.
    """

    id: str
    account_id: str
    key_id: str
    cost_micro: int
    price_version: str
    num_images: int
    num_steps: int
    guidance: float
    pixel_factor: Decimal
    model: str = DEFAULT_MODEL
    request_id: str | None = None
    request: str | None = None
    is_durable: bool = False
    server_id: str | None = None
    deadline_at: datetime | None = None
    webhook_url: str | None = None
    webhook_secret: str | None = None
    spend_cap_micro: int | None = None
    jobs_of_account: int | None = None
    jobs_of_key: int | None = None
    idempotency: IdempotencyKey | None = None
    source: SourceNames | None = None


def admit(connection: Connection, new: NewJob) -> str | None:
    """Hold the job's price and write it down as queued, with `FIRST_FENCE`.

    Returns:
        None; or the id of the job that answers the same request already: then nothing was written.

    Raises:
        RateLimitedError: The account or the key has as many jobs open as it may.
        InsufficientCreditsError: The account has less than its price, or the key may not spend it.
        ConflictError: The idempotency key was used for something else, or its job is not done.
    """
    ledger.lock(connection, new.account_id)  # of two at once, the second finds what the first did
    if new.idempotency is not None:
        earlier = answers.find(connection, new.account_id, new.idempotency)
        if earlier is not None:
            return earlier
    if new.jobs_of_account is not None:
        accounts.check_places(
            connection,
            new.account_id,
            new.key_id,
            of_account=new.jobs_of_account,
            of_key=new.jobs_of_key,
        )
    hold_id = ledger.reserve(connection, new.account_id, new.cost_micro, f"{new.id}:hold", new.id)
    if new.spend_cap_micro is not None:
        ledger.check_spend_cap(connection, new.key_id, new.spend_cap_micro, new.cost_micro)
    values = asdict(new)
    for name in _NOT_KEPT:
        del values[name]
    values |= {
        "hold_id": hold_id,
        "state": JobState.QUEUED,
        "fence": FIRST_FENCE,
        "request_id": new.request_id or new.id,
        "pixel_factor": str(new.pixel_factor),
        "created_at": clock.now(),
    }
    connection.execute(_INSERT, values)
    if new.source is not None:
        sources.add(connection, new.id, new.source)
    if new.idempotency is not None:
        answers.keep(connection, new.account_id, new.idempotency, new.id)
    return None


def start(connection: Connection, job_id: str, fence: int) -> int:
    """The engine begins to work on it; returns which attempt this is, from 1.

    Saying so again changes nothing.

    Raises:
        ConflictError: The job is closed, or another's.
    """
    mine = {"job_id": job_id, "held_fence": fence}
    attempt = connection.execute(_START, mine | {"now": clock.now()}).scalar()
    if attempt is None:
        attempt = connection.execute(_RUNNING, mine).scalar()
    if attempt is None:
        raise _lost(job_id)
    return int(attempt)


def take(connection: Connection, job_id: str, fence: int, owner: str) -> int:
    """Queue an open job again for `owner`; returns its new fence.

    Saying so again changes nothing.

    Raises:
        ConflictError: The job is closed, or another's.
    """
    values = {"job_id": job_id, "held_fence": fence, "owner": owner}
    for statement in (_TAKE_QUEUED, _TAKE_RUNNING, _TAKEN):
        new_fence = connection.execute(statement, values).scalar()
        if new_fence is not None:
            return int(new_fence)
    raise _lost(job_id)


def leave(connection: Connection, job_id: str, fence: int) -> None:
    """Queue an open job again for whichever server finds it.

    An attempt that is given up so is not counted: nothing is wrong with the job.

    Raises:
        ConflictError: The job is closed, or another's.
    """
    values = {"job_id": job_id, "held_fence": fence, "owner": None}
    for statement in (_TAKE_QUEUED, _LEAVE_RUNNING):
        if connection.execute(statement, values).scalar() is not None:
            return
    raise _lost(job_id)


def succeed(
    connection: Connection,
    job_id: str,
    fence: int,
    amount_micro: int,
    figures: RunFigures,
    images: Sequence[StoredImage] = (),
) -> int:
    """Close the job with its pictures made, and settle its hold.

    Returns:
        What its account may spend then, in micro-credits.

    Raises:
        ConflictError: The job was closed before, or is another's.
    """
    start(connection, job_id, fence)  # an engine may finish without a word in between
    closed = _close(connection, job_id, fence, JobState.SUCCEEDED)
    ledger.settle(connection, closed.hold_id, amount_micro)
    remaining_micro = ledger.available(connection, closed.account_id)
    text = figures.encode(amount_micro, remaining_micro)
    connection.execute(_KEEP_RESULT, {"job_id": job_id, "text": text})
    if images:
        rows = [asdict(each) | {"job_id": job_id, "removed_at": None} for each in images]
        connection.execute(_INSERT_IMAGES, rows)
    if closed.is_durable:
        kept = KeptOrder.decode(closed.request)
        payload = announcement.completion(job_id, kept, images, amount_micro, clock.now())
        _announce(connection, job_id, closed, JOB_COMPLETED, payload)
    return remaining_micro


def fail(
    connection: Connection,
    job_id: str,
    fence: int,
    state: JobState,
    code: str,
    message: str | None = None,
) -> None:
    """Close the job without a picture, as failed or cancelled, and release its hold.

    Raises:
        ConflictError: The job was closed before, or is another's.
    """
    closed = _close(connection, job_id, fence, state, code, message)
    ledger.release(connection, closed.hold_id, code)
    if closed.is_durable:
        payload = announcement.failure(job_id, code, message, clock.now())
        _announce(connection, job_id, closed, JOB_FAILED, payload)


def cancel(connection: Connection, account_id: str, job_id: str) -> None:
    """Close an account's job as cancelled, whoever works on it, and release its hold.

    One that is closed already stays as it is.

    Raises:
        NotFoundError: The account has no such job.
    """
    values = {"job_id": job_id, "account_id": account_id}
    row = connection.execute(_OF_ACCOUNT, values).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no request {job_id!r}")
    if row.state in OPEN_STATES:
        words = "the request was cancelled; it was not billed"
        fail(connection, job_id, row.fence, JobState.CANCELLED, CANCELLED, words)


def _close(
    connection: Connection,
    job_id: str,
    fence: int,
    state: JobState,
    code: str | None = None,
    message: str | None = None,
) -> Row[Any]:
    """Set the last state; returns what its end concerns. Locks the job's row."""
    values = {
        "job_id": job_id,
        "held_fence": fence,
        "last_state": state,
        "code": code,
        "words": message,
        "now": clock.now(),
    }
    row = connection.execute(_CLOSE, values).one_or_none()
    if row is None:
        raise _lost(job_id)
    return row


def _announce(
    connection: Connection, job_id: str, closed: Row[Any], kind: str, payload: str
) -> None:
    told = Announcement(
        closed.account_id, job_id, kind, payload, closed.webhook_url, closed.webhook_secret
    )
    announce(connection, told)


def _lost(job_id: str) -> ConflictError:
    return ConflictError(f"job {job_id!r} is not open, or works elsewhere")
