"""The SQL of files that open jobs begin from. Every function runs inside its caller's transaction.

Such a file is needed until its job has ended: then another server cannot have to paint it again.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select

from photogram.generation.orders import SourceNames
from photogram.generation.states import OPEN_STATES
from photogram.storage.tables.jobs import job, source

_INSERT = insert(source)
_NEEDLESS = (
    select(source.c.file_name)
    .join(job, job.c.id == source.c.job_id)
    .where(job.c.state.not_in(OPEN_STATES))
    .limit(bindparam("at_most"))
)
_IS_NAMED = source.c.file_name.in_(bindparam("names", expanding=True))
_FORGET = delete(source).where(_IS_NAMED)
_KNOWN = select(source.c.file_name).where(_IS_NAMED)


def add(connection: Connection, job_id: str, names: SourceNames) -> None:
    """Write down what a job begins from."""
    rows = [{"job_id": job_id, "file_name": name} for name in names.files]
    connection.execute(_INSERT, rows)


def needless_files(connection: Connection, at_most: int) -> list[str]:
    """Names of files whose jobs have ended."""
    return list(connection.execute(_NEEDLESS, {"at_most": at_most}).scalars())


def forget(connection: Connection, names: Sequence[str]) -> None:
    """These files are gone."""
    connection.execute(_FORGET, {"names": list(names)})


def known_files(connection: Connection, names: Sequence[str]) -> set[str]:
    """Those of the names that a job begins from."""
    return set(connection.execute(_KNOWN, {"names": list(names)}).scalars())
