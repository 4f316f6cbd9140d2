"""The SQL that reads jobs and their pictures. Every function runs inside its caller's transaction.

Whatever an account asks for is looked for among its own jobs alone.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    String,
    bindparam,
    case,
    cast,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSON

from photogram.core import ids
from photogram.core.errors import NotFoundError
from photogram.generation.orders import KeptOrder
from photogram.generation.records import (
    Failure,
    JobFilter,
    JobPage,
    JobRecord,
    Queued,
    RunFigures,
    StoredFile,
    StoredImage,
)
from photogram.generation.states import OPEN_STATES, JobState
from photogram.storage.tables.jobs import IS_OPEN, image, job
from photogram.storage.tables.ledger import account, transfer

_JOB = select(job, transfer.c.amount_micro.label("held_micro")).join(
    transfer, transfer.c.id == job.c.hold_id
)
_BY_ID = _JOB.where(job.c.id == bindparam("name"))
_ID_OF_ACCOUNT = _BY_ID.where(job.c.account_id == bindparam("account_id"))
# A client may use its own names twice; the newest counts.
_BY_REQUEST_ID = (
    _JOB.where(job.c.account_id == bindparam("account_id"), job.c.request_id == bindparam("name"))
    .order_by(job.c.created_at.desc(), job.c.id.desc())
    .limit(1)
)
_IMAGES = (
    select(image)
    .where(image.c.job_id.in_(bindparam("job_ids", expanding=True)))
    .order_by(image.c.job_id, image.c.number)
)
_FILE = select(
    image.c.file_name,
    image.c.content_type,
    image.c.size_bytes,
    image.c.sha256,
    image.c.expires_at,
).where(
    image.c.file_name == bindparam("file_name"),
    image.c.removed_at.is_(None),
    image.c.expires_at > bindparam("now"),
)
_FILE_OF_ACCOUNT = _FILE.join(job, job.c.id == image.c.job_id).where(
    job.c.account_id == bindparam("account_id")
)
_EXPIRED = (
    select(image.c.file_name)
    .where(image.c.removed_at.is_(None), image.c.expires_at <= bindparam("now"))
    .limit(bindparam("at_most"))
)
_REMOVE = (
    update(image)
    .where(image.c.file_name.in_(bindparam("names", expanding=True)))
    .values(removed_at=bindparam("now"))
)
_KNOWN = select(image.c.file_name).where(
    image.c.file_name.in_(bindparam("names", expanding=True)), image.c.removed_at.is_(None)
)
# What is taken for a job that has not succeeded is nothing.
_ORDERS: dict[str, tuple[ColumnElement[Any], ...]] = {
    "made": (job.c.created_at, job.c.id),
    "model": (job.c.model, job.c.created_at, job.c.id),
    "cost": (
        case((job.c.state == JobState.SUCCEEDED, transfer.c.amount_micro), else_=0),
        job.c.created_at,
        job.c.id,
    ),
}
_QUEUE = (
    select(
        account.c.name,
        func.count().filter(job.c.state == JobState.QUEUED),
        func.count().filter(job.c.state == JobState.RUNNING),
        func.min(job.c.created_at),
    )
    .select_from(job)
    .join(account, account.c.id == job.c.account_id)
    .where(IS_OPEN)
    .group_by(account.c.name)
    .order_by(func.min(job.c.created_at))
    .limit(bindparam("limit"))
)
# By the ids, which begin with the time: no index has all accounts' jobs by time.
_FAILURES = (
    select(
        job.c.id,
        account.c.name,
        job.c.created_at,
        job.c.attempt,
        func.coalesce(job.c.error_code, ""),
        func.coalesce(job.c.error_message, ""),
    )
    .join(account, account.c.id == job.c.account_id)
    .where(job.c.id >= bindparam("first_id"), job.c.state == JobState.FAILED)
    .order_by(job.c.id.desc())
    .limit(bindparam("limit"))
)
_FORGET = (
    update(job)
    .where(
        job.c.finished_at < bindparam("before"),
        job.c.state.not_in(OPEN_STATES),
        job.c.request.is_not(None),
    )
    .values(request=None, webhook_secret=None)
)


def get(connection: Connection, job_id: str) -> JobRecord:
    """Any account's job.

    Raises:
        NotFoundError: There is no such job.
    """
    return _one(connection, {"name": job_id}, _BY_ID)


def find(connection: Connection, account_id: str, name: str) -> JobRecord:
    """An account's job by its id, or by the client's own name for it.

    Raises:
        NotFoundError: The account has no such job.
    """
    values = {"account_id": account_id, "name": name}
    return _one(connection, values, _ID_OF_ACCOUNT, _BY_REQUEST_ID)


def page(
    connection: Connection, account_id: str, wanted: JobFilter, offset: int, limit: int
) -> JobPage:
    """A part of an account's jobs."""
    conditions = [job.c.account_id == account_id]
    if wanted.model:
        conditions.append(
            job.c.model.icontains(wanted.model, autoescape=True) | job.c.model.in_(wanted.or_models)
        )
    if wanted.states:
        conditions.append(job.c.state.in_(wanted.states))
    if wanted.key_id:
        conditions.append(job.c.key_id == wanted.key_id)
    if wanted.text:
        conditions.append(_prompt(connection).icontains(wanted.text, autoescape=True))
    if wanted.since:
        conditions.append(job.c.created_at >= wanted.since)
    if wanted.until:
        conditions.append(job.c.created_at < wanted.until)
    order = _ORDERS[wanted.sort_by]
    query = _JOB.where(*conditions).order_by(
        *(order if wanted.is_ascending else [each.desc() for each in order])
    )
    rows = connection.execute(query.offset(offset).limit(limit)).all()
    num_in_all = connection.execute(
        select(func.count()).select_from(job).where(*conditions)
    ).scalar_one()
    return JobPage(tuple(_records(connection, rows)), num_in_all)


def queue(connection: Connection, limit: int) -> list[Queued]:
    """The accounts that have open jobs; who waits longest, first."""
    return [Queued(*row) for row in connection.execute(_QUEUE, {"limit": limit})]


def failures(connection: Connection, since: datetime, limit: int) -> list[Failure]:
    """The newest failed jobs of all accounts that were made since then."""
    rows = connection.execute(_FAILURES, {"first_id": ids.first_id(since), "limit": limit})
    return [Failure(*row) for row in rows]


def find_file(
    connection: Connection, file_name: str, now: datetime, account_id: str | None = None
) -> StoredFile | None:
    """The picture of that name; None if there is none (of the account), or it has expired."""
    values = {"file_name": file_name, "now": now, "account_id": account_id}
    query = _FILE if account_id is None else _FILE_OF_ACCOUNT
    row = connection.execute(query, values).one_or_none()
    return StoredFile(*row) if row else None


def expired_files(connection: Connection, now: datetime, at_most: int) -> list[str]:
    """Names of files that are to be removed."""
    return list(connection.execute(_EXPIRED, {"now": now, "at_most": at_most}).scalars())


def mark_removed(connection: Connection, names: Sequence[str], now: datetime) -> None:
    """These files are gone."""
    connection.execute(_REMOVE, {"names": list(names), "now": now})


def known_files(connection: Connection, names: Sequence[str]) -> set[str]:
    """Those of the names that are a job's picture."""
    return set(connection.execute(_KNOWN, {"names": list(names)}).scalars())


def forget_requests(connection: Connection, before: datetime) -> int:
    """Forget what was asked for in jobs that ended before then; returns how many."""
    return connection.execute(_FORGET, {"before": before}).rowcount


def _prompt(connection: Connection) -> ColumnElement[str]:
    if connection.dialect.name == "sqlite":
        return func.json_extract(job.c.request, "$.order.prompt", type_=String)
    words: ColumnElement[str] = cast(job.c.request, JSON)["order"]["prompt"].astext
    return words


def _one(connection: Connection, values: dict[str, str], *queries: Select[Any]) -> JobRecord:
    """What the first of the queries finds that finds anything."""
    for query in queries:
        row = connection.execute(query, values).one_or_none()
        if row is not None:
            return _records(connection, [row])[0]
    raise NotFoundError(f"there is no request {values['name']!r}")


def _records(connection: Connection, rows: Sequence[Row[Any]]) -> list[JobRecord]:
    images: dict[str, list[StoredImage]] = {row.id: [] for row in rows}
    for found in connection.execute(_IMAGES, {"job_ids": list(images)}):
        images[found.job_id].append(_image(found))
    return [_record(row, tuple(images[row.id])) for row in rows]


def _record(row: Row[Any], images: tuple[StoredImage, ...]) -> JobRecord:
    return JobRecord(
        id=row.id,
        request_id=row.request_id or row.id,
        account_id=row.account_id,
        key_id=row.key_id,
        model=row.model,
        state=JobState(row.state),
        order=KeptOrder.decode(row.request).order if row.request else None,
        held_micro=row.held_micro,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        error_code=row.error_code,
        error_message=row.error_message,
        figures=RunFigures.decode(row.result) if row.result else None,
        images=images,
    )


def _image(row: Row[Any]) -> StoredImage:
    return StoredImage(
        number=row.number,
        file_name=row.file_name,
        seed=row.seed,
        width=row.width,
        height=row.height,
        content_type=row.content_type,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        expires_at=row.expires_at,
    )
