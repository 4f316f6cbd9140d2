"""The SQL of accounts and keys. Every function runs inside its caller's transaction."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import Connection, Row, bindparam, func, insert, or_, select, update

from photogram.accounts.models import KeyInfo, OperatorKeyInfo, Principal, Rights, Scope
from photogram.core import clock, ids
from photogram.core.errors import RateLimitedError
from photogram.storage.tables.columns import insert_unless_there
from photogram.storage.tables.jobs import IS_OPEN, job
from photogram.storage.tables.keys import admin_key, api_key
from photogram.storage.tables.ledger import account

_KEY = select(api_key).where(api_key.c.id == bindparam("key_id"))
_OPERATOR_KEY = select(admin_key).where(admin_key.c.id == bindparam("key_id"))
_INFO = select(api_key, account.c.name.label("account_name")).join(
    account, account.c.id == api_key.c.account_id
)

_COUNTED = (
    select(func.coalesce(api_key.c.counts_as, api_key.c.id))
    .where(api_key.c.id == bindparam("key_id"))
    .scalar_subquery()
)
_OPEN_JOBS = (
    select(
        func.count(),
        func.count().filter(func.coalesce(api_key.c.counts_as, api_key.c.id) == _COUNTED),
    )
    .select_from(job)
    .join(api_key, api_key.c.id == job.c.key_id)
    # Not the bare column: SQLite would go through all jobs that the account has ever had.
    .where(IS_OPEN, job.c.account_id.concat("") == bindparam("account_id"))
)
_RETRY_FULL_S = 2.0


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as the database knows it."""

    principal: Principal
    name: str | None
    token_hash: str
    revoked_at: datetime | None

    def works(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        expires_at = self.principal.expires_at
        return self.revoked_at is None and (expires_at is None or now < expires_at)


@dataclass(frozen=True, slots=True)
class NewKeyRow:
    """A key that is to be stored."""

    key_id: str
    account_id: str
    token_hash: str
    name: str | None
    rights: Rights
    counts_as: str | None = None


def find_account(connection: Connection, name: str) -> str | None:
    """The id of the account of that name."""
    return connection.execute(select(account.c.id).where(account.c.name == name)).scalar()


def ensure_account(connection: Connection, name: str) -> tuple[str, bool]:
    """The id of the account of that name, which is made if there is none; and whether it was."""
    values = {"id": ids.new_id(), "kind": "customer", "name": name, "created_at": clock.now()}
    is_new = connection.execute(insert_unless_there(account), values).rowcount == 1
    account_id: str = connection.execute(
        select(account.c.id).where(account.c.name == name)
    ).scalar_one()
    return account_id, is_new


def lock_account(connection: Connection, account_id: str) -> None:
    """Let nobody else change what belongs to the account until the end of the transaction."""
    connection.execute(select(account.c.id).where(account.c.id == account_id).with_for_update())


def add_key(connection: Connection, new: NewKeyRow) -> None:
    """Store a new key."""
    connection.execute(
        insert(api_key).values(
            id=new.key_id,
            account_id=new.account_id,
            token_hash=new.token_hash,
            name=new.name,
            counts_as=new.counts_as,
            created_at=clock.now(),
            **_columns(new.rights),
        )
    )


def find_key(connection: Connection, key_id: str) -> StoredKey | None:
    """The key of that id, whether it works or not."""
    return _stored(connection.execute(_KEY, {"key_id": key_id}).one_or_none())


def lock_key(connection: Connection, key_id: str) -> StoredKey | None:
    """`find_key`, for who changes it: another who does waits. Jobs may go on naming it."""
    query = _KEY.with_for_update(key_share=True)
    return _stored(connection.execute(query, {"key_id": key_id}).one_or_none())


def get_key_info(connection: Connection, key_id: str) -> KeyInfo | None:
    """What may be told of a key."""
    row = connection.execute(_INFO.where(api_key.c.id == key_id)).one_or_none()
    return None if row is None else _info(row)


def list_keys(connection: Connection, account_name: str | None) -> list[KeyInfo]:
    """Keys of one account, or of all, oldest first."""
    query = _INFO.order_by(api_key.c.created_at, api_key.c.id)
    if account_name is not None:
        query = query.where(account.c.name == account_name)
    return [_info(row) for row in connection.execute(query)]


def keys_of(connection: Connection, account_id: str) -> list[KeyInfo]:
    """Keys of the account of that id, oldest first."""
    query = _INFO.where(api_key.c.account_id == account_id)
    return [
        _info(row) for row in connection.execute(query.order_by(api_key.c.created_at, api_key.c.id))
    ]


def count_working_keys(connection: Connection, account_id: str) -> int:
    """How many keys of an account are neither revoked nor expired."""
    is_in_time = or_(api_key.c.expires_at.is_(None), api_key.c.expires_at > clock.now())
    query = select(func.count()).where(
        api_key.c.account_id == account_id, api_key.c.revoked_at.is_(None), is_in_time
    )
    return connection.execute(query).scalar_one()


def change_key(connection: Connection, key_id: str, name: str | None, rights: Rights) -> None:
    """Give a key another name and other rights."""
    values = {"name": name, **_columns(rights)}
    connection.execute(update(api_key).where(api_key.c.id == key_id).values(values))


def expire_key(connection: Connection, key_id: str, expires_at: datetime) -> None:
    """Let a key work until then, and no longer."""
    connection.execute(update(api_key).where(api_key.c.id == key_id).values(expires_at=expires_at))


def revoke_key(connection: Connection, key_id: str) -> bool:
    """Revoke a key; False if it was revoked before, which keeps its first instant."""
    changed = connection.execute(
        update(api_key)
        .where(api_key.c.id == key_id, api_key.c.revoked_at.is_(None))
        .values(revoked_at=clock.now())
    )
    return changed.rowcount == 1


def check_places(
    connection: Connection, account_id: str, key_id: str, *, of_account: int, of_key: int | None
) -> None:
    """Refuse a job that is one too many at once for its account or its key.

    To be called while the account is locked, and before the job is written. Keys that count
    together are counted together.

    Raises:
        RateLimitedError: The account has `of_account` open jobs, or the key `of_key`.
    """
    values = {"account_id": account_id, "key_id": key_id}
    num_of_account, num_of_key = connection.execute(_OPEN_JOBS, values).one()
    for whose, number, limit in (
        ("account", num_of_account, of_account),
        ("key", num_of_key, of_key),
    ):
        if limit is not None and number >= limit:
            raise RateLimitedError(
                f"this {whose} already has {limit} requests under way, which is its limit",
                retry_after_s=_RETRY_FULL_S,
            )


def add_operator_key(connection: Connection, key_id: str, name: str, token_hash: str) -> None:
    """Store a new key of an operator."""
    values = {"id": key_id, "name": name, "token_hash": token_hash, "created_at": clock.now()}
    connection.execute(insert(admin_key), values)


def find_operator_hash(connection: Connection, key_id: str) -> str | None:
    """The token hash of an operator's key that works."""
    row = connection.execute(_OPERATOR_KEY, {"key_id": key_id}).one_or_none()
    return None if row is None or row.revoked_at is not None else row.token_hash


def list_operator_keys(connection: Connection) -> list[OperatorKeyInfo]:
    """All keys of operators, oldest first."""
    query = select(
        admin_key.c.id, admin_key.c.name, admin_key.c.created_at, admin_key.c.revoked_at
    ).order_by(admin_key.c.created_at, admin_key.c.id)
    return [OperatorKeyInfo(*row) for row in connection.execute(query)]


def revoke_operator_key(connection: Connection, key_id: str) -> bool | None:
    """Revoke a key of an operator; False if it was revoked before, None if there is none."""
    changed = connection.execute(
        update(admin_key)
        .where(admin_key.c.id == key_id, admin_key.c.revoked_at.is_(None))
        .values(revoked_at=clock.now())
    )
    if changed.rowcount == 1:
        return True
    is_there = connection.execute(_OPERATOR_KEY, {"key_id": key_id}).one_or_none() is not None
    return False if is_there else None


class _RightsValues(TypedDict):
    scopes: frozenset[Scope]
    requests_per_minute: int | None
    jobs_at_once: int | None
    spend_cap_micro: int | None
    expires_at: datetime | None


def _rights(row: Row[Any]) -> _RightsValues:
    return {
        "scopes": frozenset(map(Scope, row.scopes.split())),
        "requests_per_minute": row.requests_per_minute,
        "jobs_at_once": row.jobs_at_once,
        "spend_cap_micro": row.spend_cap_micro,
        "expires_at": row.expires_at,
    }


def _columns(rights: Rights) -> dict[str, object]:
    values = {field.name: getattr(rights, field.name) for field in fields(Rights)}
    return values | {"scopes": " ".join(scope for scope in Scope if scope in rights.scopes)}


def _stored(row: Row[Any] | None) -> StoredKey | None:
    if row is None:
        return None
    principal = Principal(row.account_id, row.id, row.counts_as, **_rights(row))
    return StoredKey(principal, row.name, row.token_hash, row.revoked_at)


def _info(row: Row[Any]) -> KeyInfo:
    return KeyInfo(
        key_id=row.id,
        account_id=row.account_id,
        account_name=row.account_name,
        name=row.name,
        counts_as=row.counts_as,
        settled_micro=row.settled_micro,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        **_rights(row),
    )
