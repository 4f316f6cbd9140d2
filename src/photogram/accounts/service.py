"""Accounts and their keys: a token goes in, a principal comes out.

It knows nothing of credits, requests or HTTP.
"""

import hmac
import re

from sqlalchemy import Connection

from photogram.accounts import keys, repository
from photogram.accounts.models import KeyInfo, NewKey, Principal
from photogram.core.errors import AuthenticationError, InvalidRequestError, NotFoundError
from photogram.storage.database import Database

_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_NO_HASH = "0" * 64


class AccountService:
    """Makes, lists, revokes and checks keys.

    Args:
        database: Where they are.
        pepper: The secret that token hashes are keyed with (`DataFolder.pepper`).
    """

    def __init__(self, database: Database, pepper: bytes) -> None:
        self._database = database
        self._pepper = pepper

    async def authenticate(self, token: str | None) -> Principal:
        """Who holds this token.

        Every call reads the database, so that a revocation takes effect at once, whichever process
        made it. A token of the wrong shape or checksum is refused without reading anything.

        Raises:
            AuthenticationError: With code ``missing_api_key`` or ``invalid_api_key``.
        """
        if not token:
            raise AuthenticationError("an API key is required", code="missing_api_key")
        key_id = keys.key_id_of(token)
        if key_id is None:
            raise AuthenticationError
        stored = await self._database.run(repository.find_key, key_id, readonly=True)
        # An unknown key id takes the same path and time as a wrong secret.
        expected = _NO_HASH if stored is None else stored.token_hash
        is_right = hmac.compare_digest(keys.token_hash(token, self._pepper), expected)
        if stored is None or stored.is_revoked or not is_right:
            raise AuthenticationError
        return Principal(stored.account_id, key_id)

    def create_key(self, account_name: str) -> NewKey:
        """A new key of the account, which is made if there is none.

        Raises:
            InvalidRequestError: The name cannot be an account's.
        """
        _check_name(account_name)
        key_id, token = keys.new_token()
        self._database.transact(
            _add_key, account_name, key_id, keys.token_hash(token, self._pepper)
        )
        return NewKey(key_id, token, account_name)

    def list_keys(self, account_name: str | None = None) -> list[KeyInfo]:
        """Keys of one account, or of all, oldest first.

        Raises:
            NotFoundError: There is no such account.
        """
        if account_name is not None:
            self.account_id(account_name)
        return self._database.transact(repository.list_keys, account_name, readonly=True)

    def revoke_key(self, key_id: str) -> None:
        """Make a key useless from now on; doing it again changes nothing.

        Raises:
            NotFoundError: There is no such key.
        """
        if not self._database.transact(repository.revoke_key, key_id):
            raise NotFoundError(f"there is no key {key_id!r}")

    def account_id(self, name: str) -> str:
        """The id of the account of that name.

        Raises:
            NotFoundError: There is none.
        """
        account_id = self._database.transact(repository.find_account, name, readonly=True)
        if account_id is None:
            raise NotFoundError(f"there is no account {name!r}")
        return account_id

    def ensure_account(self, name: str) -> str:
        """The id of the account of that name, which is made if there is none.

        Raises:
            InvalidRequestError: The name cannot be an account's.
        """
        _check_name(name)
        return self._database.transact(repository.ensure_account, name)


def _add_key(connection: Connection, account_name: str, key_id: str, token_hash: str) -> None:
    account_id = repository.ensure_account(connection, account_name)
    repository.add_key(connection, account_id, key_id, token_hash)


def _check_name(name: str) -> None:
    if _ACCOUNT_NAME.fullmatch(name) is None:
        raise InvalidRequestError(
            f"{name!r} cannot name an account: 1 to 64 letters, digits and . _ @ -,"
            " a letter or digit first"
        )
