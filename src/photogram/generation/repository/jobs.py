"""The SQL of jobs. Every function runs inside its caller's transaction.

A job and its hold are opened together and closed together, so that credits are held for exactly as
long as a job is open.
"""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, bindparam, insert, select, update

from photogram.core import clock
from photogram.core.errors import ConflictError
from photogram.generation.states import OPEN_STATES, JobState
from photogram.ledger import repository as ledger
from photogram.storage.tables.jobs import job

_IS_OPEN = job.c.state.in_(OPEN_STATES)

# Built once: SQLAlchemy takes longer to build a statement than SQLite to run it.
_INSERT = insert(job)
_START = (
    update(job)
    .where(job.c.id == bindparam("job_id"), job.c.state == JobState.QUEUED)
    .values(state=JobState.RUNNING, attempt=job.c.attempt + 1, started_at=bindparam("now"))
)
_CLOSE = (
    update(job)
    .where(job.c.id == bindparam("job_id"), _IS_OPEN)
    .values(
        state=bindparam("last_state"), error_code=bindparam("code"), finished_at=bindparam("now")
    )
    .returning(job.c.account_id, job.c.hold_id)
)


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is to be admitted, with all that its price came from."""

    id: str
    account_id: str
    key_id: str
    cost_micro: int
    price_version: str
    num_images: int
    num_steps: int
    guidance: float
    pixel_factor: Decimal


def admit(connection: Connection, new: NewJob) -> None:
    """Hold the job's price and write it down as queued.

    Raises:
        InsufficientCreditsError: The account has less than its price.
    """
    hold_id = ledger.reserve(connection, new.account_id, new.cost_micro, f"{new.id}:hold", new.id)
    values = {
        "id": new.id,
        "account_id": new.account_id,
        "key_id": new.key_id,
        "hold_id": hold_id,
        "state": JobState.QUEUED,
        "price_version": new.price_version,
        "num_images": new.num_images,
        "num_steps": new.num_steps,
        "guidance": new.guidance,
        "pixel_factor": str(new.pixel_factor),
        "created_at": clock.now(),
    }
    connection.execute(_INSERT, values)


def start(connection: Connection, job_id: str) -> None:
    """The engine works on it. A job that is further on stays where it is."""
    connection.execute(_START, {"job_id": job_id, "now": clock.now()})


def succeed(connection: Connection, job_id: str, amount_micro: int) -> int:
    """Close the job with its pictures made, and settle its hold.

    Returns:
        What its account may spend then, in micro-credits.

    Raises:
        ConflictError: The job was closed before.
    """
    start(connection, job_id)  # an engine may finish without a word in between
    account_id, hold_id = _close(connection, job_id, JobState.SUCCEEDED)
    ledger.settle(connection, hold_id, amount_micro)
    return ledger.available(connection, account_id)


def fail(connection: Connection, job_id: str, state: JobState, code: str) -> None:
    """Close the job without a picture, as failed or cancelled, and release its hold.

    Raises:
        ConflictError: The job was closed before.
    """
    _, hold_id = _close(connection, job_id, state, code)
    ledger.release(connection, hold_id, code)


def open_jobs(connection: Connection) -> list[str]:
    """Ids of all jobs that are queued or running."""
    return list(connection.execute(select(job.c.id).where(_IS_OPEN)).scalars())


def _close(
    connection: Connection, job_id: str, state: JobState, code: str | None = None
) -> tuple[str, str]:
    """Set the last state; returns the job's account and hold. Locks the job's row."""
    values = {"job_id": job_id, "last_state": state, "code": code, "now": clock.now()}
    row = connection.execute(_CLOSE, values).one_or_none()
    if row is None:
        raise ConflictError(f"job {job_id!r} is not open")
    return row.account_id, row.hold_id
