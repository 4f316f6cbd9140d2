"""The SQL of idempotency keys. Every function runs inside its caller's transaction.

A key points to the job of its request; what became of the job is the answer.
"""

from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, delete, select

from photogram.core import clock
from photogram.core.errors import ConflictError
from photogram.generation.orders import IdempotencyKey
from photogram.generation.states import OPEN_STATES, JobState
from photogram.storage.tables.columns import insert_unless_there
from photogram.storage.tables.jobs import idempotency, job

LIFE: Final = timedelta(hours=24)
"""How long a key means the same request."""

CODE: Final = "idempotency_conflict"

_RETRY_AFTER_S = 1.0
_FIND = (
    select(idempotency.c.fingerprint, idempotency.c.expires_at, job.c.id, job.c.state)
    .join(job, job.c.id == idempotency.c.job_id)
    .where(
        idempotency.c.account_id == bindparam("account_id"), idempotency.c.key == bindparam("key")
    )
)
_FORGET = delete(idempotency).where(
    idempotency.c.account_id == bindparam("account_id"), idempotency.c.key == bindparam("key")
)
_FORGET_OLD = delete(idempotency).where(idempotency.c.expires_at <= bindparam("now"))
_INSERT = insert_unless_there(idempotency)


def find(connection: Connection, account_id: str, wanted: IdempotencyKey) -> str | None:
    """The id of the job that answers the request with this key; None where there is none.

    Where pictures are the answer, that is one that has succeeded; one that failed was not billed,
    and may be tried again.

    Raises:
        ConflictError: The key was used for something else, or its pictures are not done.
    """
    row = connection.execute(_FIND, {"account_id": account_id, "key": wanted.key}).one_or_none()
    if row is None or row.expires_at <= clock.now():
        return None
    if row.fingerprint != wanted.fingerprint:
        raise ConflictError(
            "this Idempotency-Key was used for another request; use a new one", code=CODE
        )
    if wanted.names_job:
        return str(row.id)
    if row.state in OPEN_STATES:
        raise ConflictError(
            "the request with this Idempotency-Key is still under way; ask again",
            code=CODE,
            retry_after_s=_RETRY_AFTER_S,
        )
    return str(row.id) if row.state == JobState.SUCCEEDED else None


def keep(connection: Connection, account_id: str, wanted: IdempotencyKey, job_id: str) -> None:
    """From now on the key means this job."""
    connection.execute(_FORGET, {"account_id": account_id, "key": wanted.key})
    values = {
        "account_id": account_id,
        "key": wanted.key,
        "fingerprint": wanted.fingerprint,
        "job_id": job_id,
        "expires_at": clock.now() + LIFE,
    }
    connection.execute(_INSERT, values)


def forget_old(connection: Connection) -> int:
    """Remove keys that have expired; returns how many."""
    return connection.execute(_FORGET_OLD, {"now": clock.now()}).rowcount
