"""The SQL of files that accounts have uploaded. Every function runs inside its caller's transaction."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from photogram.core import clock, ids
from photogram.core.errors import PayloadTooLargeError
from photogram.generation.records import StoredFile
from photogram.ledger import repository as ledger
from photogram.storage.tables.jobs import asset

_INSERT = insert(asset)
_NUM_BYTES = select(func.coalesce(func.sum(asset.c.size_bytes), 0)).where(
    asset.c.account_id == bindparam("account_id"), asset.c.expires_at > bindparam("now")
)
_FILE = select(
    asset.c.file_name,
    asset.c.content_type,
    asset.c.size_bytes,
    asset.c.sha256,
    asset.c.expires_at,
).where(asset.c.file_name == bindparam("file_name"), asset.c.expires_at > bindparam("now"))
_FILE_OF_ACCOUNT = _FILE.where(asset.c.account_id == bindparam("account_id"))
_EXPIRED = (
    select(asset.c.file_name)
    .where(asset.c.expires_at <= bindparam("now"))
    .limit(bindparam("at_most"))
)
_IS_NAMED = asset.c.file_name.in_(bindparam("names", expanding=True))
_FORGET = delete(asset).where(_IS_NAMED)
_KNOWN = select(asset.c.file_name).where(_IS_NAMED)


def add(
    connection: Connection, account_id: str, uploads: Sequence[StoredFile], most_bytes: int
) -> None:
    """Write down files of an account that are on the disk.

    Raises:
        PayloadTooLargeError: The account would have more than `most_bytes`.
    """
    ledger.lock(connection, account_id)  # of two at once, the second counts what the first has
    now = clock.now()
    num_bytes = int(
        connection.execute(_NUM_BYTES, {"account_id": account_id, "now": now}).scalar_one()
    )
    if num_bytes + sum(each.size_bytes for each in uploads) > most_bytes:
        raise PayloadTooLargeError(
            f"the account's uploads hold {num_bytes} bytes, and may hold {most_bytes}; each is "
            "removed when it expires"
        )
    rows = [
        asdict(each) | {"id": ids.new_id(), "account_id": account_id, "created_at": now}
        for each in uploads
    ]
    connection.execute(_INSERT, rows)


def find_file(
    connection: Connection, file_name: str, now: datetime, account_id: str | None = None
) -> StoredFile | None:
    """The upload of that name; None if there is none (of the account), or it has expired."""
    values = {"file_name": file_name, "now": now, "account_id": account_id}
    query = _FILE if account_id is None else _FILE_OF_ACCOUNT
    row = connection.execute(query, values).one_or_none()
    return StoredFile(*row) if row else None


def expired_files(connection: Connection, now: datetime, at_most: int) -> list[str]:
    """Names of files that are to be removed."""
    return list(connection.execute(_EXPIRED, {"now": now, "at_most": at_most}).scalars())


def forget(connection: Connection, names: Sequence[str]) -> None:
    """These files are gone."""
    connection.execute(_FORGET, {"names": list(names)})


def known_files(connection: Connection, names: Sequence[str]) -> set[str]:
    """Those of the names that are an upload."""
    return set(connection.execute(_KNOWN, {"names": list(names)}).scalars())
