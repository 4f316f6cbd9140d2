"""Operators' keys: they open the admin API, and nothing else does. No account has one."""

import hmac

from sqlalchemy import Connection

from photogram.accounts import keys, repository
from photogram.accounts.models import NewOperatorKey, OperatorKeyInfo
from photogram.accounts.rights import check_name
from photogram.core.errors import AuthenticationError, NotFoundError
from photogram.storage import journal
from photogram.storage.database import Database
from photogram.storage.journal import Entry

_NO_HASH = "0" * 64


class OperatorService:
    """Makes, lists, revokes and checks operators' keys, and reads what was done with them.

    Args:
        database: Where they are.
        pepper: The secret that token hashes are keyed with (`DataFolder.pepper`).
    """

    def __init__(self, database: Database, pepper: bytes) -> None:
        self._database = database
        self._pepper = pepper

    async def authenticate(self, token: str | None) -> str:
        """The key id of who holds this token.

        Raises:
            AuthenticationError: With code ``missing_api_key`` or ``invalid_api_key``.
        """
        if not token:
            raise AuthenticationError("an operator's key is required", code="missing_api_key")
        key_id = keys.key_id_of(token, keys.OPERATOR)
        if key_id is None:
            raise AuthenticationError("this is no operator's key")
        found = await self._database.run(repository.find_operator_hash, key_id, readonly=True)
        expected = _NO_HASH if found is None else found
        is_right = hmac.compare_digest(keys.token_hash(token, self._pepper), expected)
        if found is None or not is_right:
            raise AuthenticationError("this is no operator's key")
        return key_id

    def create_key(self, name: str, *, actor: str) -> NewOperatorKey:
        """A new key of an operator.

        Raises:
            InvalidRequestError: The name cannot be one.
        """
        check_name(name)
        key_id, token = keys.new_token(keys.OPERATOR)
        token_hash = keys.token_hash(token, self._pepper)

        def create(connection: Connection) -> None:
            repository.add_operator_key(connection, key_id, name, token_hash)
            journal.record(connection, actor, "admin_key.create", key_id, name=name)

        self._database.transact(create)
        return NewOperatorKey(key_id, token, name)

    def list_keys(self) -> list[OperatorKeyInfo]:
        """All of them, oldest first."""
        return self._database.transact(repository.list_operator_keys, readonly=True)

    def revoke_key(self, key_id: str, *, actor: str) -> None:
        """Make a key useless from now on; doing it again changes nothing.

        Raises:
            NotFoundError: There is no such key.
        """

        def revoke(connection: Connection) -> None:
            was_changed = repository.revoke_operator_key(connection, key_id)
            if was_changed is None:
                raise NotFoundError(f"there is no operator's key {key_id!r}")
            if was_changed:
                journal.record(connection, actor, "admin_key.revoke", key_id)

        self._database.transact(revoke)

    def journal(self, limit: int, before: str | None = None) -> list[Entry]:
        """What was done, the newest first; with `before`, what is older than that entry."""
        return self._database.transact(journal.entries, limit, before, readonly=True)
