"""The SQL of accounts and keys. Every function runs inside its caller's transaction."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, select, update

from photogram.accounts.models import KeyInfo
from photogram.core import clock, ids
from photogram.storage.tables.columns import insert_unless_there
from photogram.storage.tables.keys import api_key
from photogram.storage.tables.ledger import account

_KEY = select(api_key).where(api_key.c.id == bindparam("key_id"))


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as the database knows it."""

    account_id: str
    token_hash: str
    is_revoked: bool


def find_account(connection: Connection, name: str) -> str | None:
    """The id of the account of that name."""
    return connection.execute(select(account.c.id).where(account.c.name == name)).scalar()


def ensure_account(connection: Connection, name: str) -> str:
    """The id of the account of that name, which is made if there is none."""
    values = {"id": ids.new_id(), "kind": "customer", "name": name, "created_at": clock.now()}
    connection.execute(insert_unless_there(account), values)
    account_id: str = connection.execute(
        select(account.c.id).where(account.c.name == name)
    ).scalar_one()
    return account_id


def add_key(connection: Connection, account_id: str, key_id: str, token_hash: str) -> None:
    """Store a new key."""
    connection.execute(
        insert(api_key).values(
            id=key_id, account_id=account_id, token_hash=token_hash, created_at=clock.now()
        )
    )


def find_key(connection: Connection, key_id: str) -> StoredKey | None:
    """The key of that id, revoked or not."""
    row = connection.execute(_KEY, {"key_id": key_id}).one_or_none()
    if row is None:
        return None
    return StoredKey(row.account_id, row.token_hash, row.revoked_at is not None)


def list_keys(connection: Connection, account_name: str | None) -> list[KeyInfo]:
    """Keys of one account, or of all, oldest first."""
    query = (
        select(api_key.c.id, account.c.name, api_key.c.created_at, api_key.c.revoked_at)
        .join(account, account.c.id == api_key.c.account_id)
        .order_by(api_key.c.created_at, api_key.c.id)
    )
    if account_name is not None:
        query = query.where(account.c.name == account_name)
    return [KeyInfo(*row) for row in connection.execute(query)]


def revoke_key(connection: Connection, key_id: str) -> bool:
    """Revoke a key; False if there is none. One that is revoked keeps its first instant."""
    changed = connection.execute(
        update(api_key)
        .where(api_key.c.id == key_id, api_key.c.revoked_at.is_(None))
        .values(revoked_at=clock.now())
    )
    return changed.rowcount == 1 or find_key(connection, key_id) is not None
