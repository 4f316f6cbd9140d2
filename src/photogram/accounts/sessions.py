"""Sessions: the secret in a browser's cookie, which stands for a key until one of the two ends.

A key's id goes in and a secret comes out, once; later, the secret goes in and who holds the key
comes out. A session has no rights of its own: what its key may do is read anew at every call, so
that a revoked or expired key ends its sessions at once. The secret is stored as its keyed hash only.
Knows nothing of cookies (`accounts.browsers`) or HTTP.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select

from photogram.accounts import keys, repository
from photogram.accounts.models import Principal
from photogram.core import clock
from photogram.core.errors import AuthenticationError
from photogram.storage.database import Database
from photogram.storage.tables.keys import session

LIFE: Final = timedelta(hours=12)
"""Of a session, from the sign-in on, whatever is done meanwhile."""

_NUM_BYTES = 32
_ENDED = "the session has ended; sign in again"
_FIND = select(session.c.key_id, session.c.operator_key_id).where(
    session.c.token_hash == bindparam("token_hash"), session.c.expires_at > bindparam("now")
)
_EXPIRED = delete(session).where(session.c.expires_at <= bindparam("now"))
_END = delete(session).where(session.c.token_hash == bindparam("token_hash"))


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session at the only moment when its secret is known."""

    secret: str = field(repr=False)
    expires_at: datetime


class SessionService:
    """The sessions of one database, of customers and of operators.

    Args:
        database: Where they are.
        pepper: The secret that hashes are keyed with (`DataFolder.pepper`).
    """

    def __init__(self, database: Database, pepper: bytes) -> None:
        self._database = database
        self._pepper = pepper

    async def begin(
        self, *, key_id: str | None = None, operator_key_id: str | None = None
    ) -> NewSession:
        """A session of the holder of a key that was just checked; exactly one of the two."""
        now = clock.now()
        new = NewSession(secrets.token_urlsafe(_NUM_BYTES), now + LIFE)
        values = {
            "token_hash": self._hash(new.secret),
            "key_id": key_id,
            "operator_key_id": operator_key_id,
            "expires_at": new.expires_at,
        }

        def write(connection: Connection) -> None:
            connection.execute(_EXPIRED, {"now": now})
            connection.execute(insert(session), values)

        await self._database.run(write)
        return new

    async def resume(self, secret: str) -> Principal:
        """The customer whose session this is.

        Raises:
            AuthenticationError: It has ended, or its key works no more.
        """
        now = clock.now()

        def read(connection: Connection) -> Principal | None:
            key_id, _ = self._find(connection, secret, now)
            stored = repository.find_key(connection, key_id) if key_id else None
            return stored.principal if stored and stored.works(now) else None

        principal = await self._database.run(read, readonly=True)
        if principal is None:
            raise AuthenticationError(_ENDED)
        return principal

    async def resume_operator(self, secret: str) -> str:
        """The key id of the operator whose session this is.

        Raises:
            AuthenticationError: As `resume`.
        """

        def read(connection: Connection) -> str | None:
            _, key_id = self._find(connection, secret, clock.now())
            works = key_id and repository.find_operator_hash(connection, key_id) is not None
            return key_id if works else None

        key_id = await self._database.run(read, readonly=True)
        if key_id is None:
            raise AuthenticationError(_ENDED)
        return key_id

    async def end(self, secret: str) -> None:
        """Forget a session; its secret opens nothing any more."""
        values = {"token_hash": self._hash(secret)}
        await self._database.run(lambda connection: connection.execute(_END, values).close())

    def _find(
        self, connection: Connection, secret: str, now: datetime
    ) -> tuple[str | None, str | None]:
        values = {"token_hash": self._hash(secret), "now": now}
        row = connection.execute(_FIND, values).one_or_none()
        return (None, None) if row is None else (row.key_id, row.operator_key_id)

    def _hash(self, secret: str) -> str:
        return keys.token_hash(secret, self._pepper)
