"""Accounts and their keys, for callers without a transaction: tokens in, principals out.

It knows nothing of credits, requests or HTTP.
"""

import hmac
import re

from photogram.accounts import changes, keys, repository
from photogram.accounts.changes import Issued
from photogram.accounts.models import KeyInfo, NewKey, Principal, Rights, RightsChange
from photogram.accounts.rights import DEFAULT_OVERLAP_S, check_name, check_rights, overlap_end
from photogram.core import clock
from photogram.core.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
)
from photogram.storage import installation
from photogram.storage.database import Database

SERVER = "server"
"""The actor of what nobody has asked for."""

_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_NO_HASH = "0" * 64
_PEPPER = "pepper"


class AccountService:
    """Makes, changes, lists, revokes and checks keys.

    Args:
        database: Where they are.
        pepper: The secret that token hashes are keyed with (`DataFolder.pepper`).
    """

    def __init__(self, database: Database, pepper: bytes) -> None:
        self._database = database
        self._pepper = pepper

    def prove_pepper(self) -> None:
        """Refuse a pepper that is not the one that the database's keys were made with.

        Raises:
            ConfigurationError: It is another one.
        """
        own = keys.fingerprint(self._pepper)
        found = self._database.transact(installation.find, _PEPPER, readonly=True)
        if found is None:
            found = self._database.transact(installation.install, _PEPPER, own)
        if not hmac.compare_digest(found, own):
            raise ConfigurationError(
                "the data folder does not belong to this database: its file `pepper` is not the one"
                " that the database's keys were made with; restore that file, or set another folder"
            )

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
        if stored is None or not is_right or not stored.works(clock.now()):
            raise AuthenticationError
        return stored.principal

    def create_key(
        self,
        account_name: str,
        *,
        name: str | None = None,
        rights: Rights | None = None,
        actor: str = SERVER,
    ) -> NewKey:
        """A new key of the account, which is made if there is none.

        Args:
            account_name: Whose it is.
            name: What it is for.
            rights: What it may do; None: everything.
            actor: Who makes it, for the record.

        Raises:
            InvalidRequestError: The name cannot be an account's, or a limit is out of range.
        """
        _check_account_name(account_name)
        check_name(name)
        rights = rights or Rights()
        check_rights(rights)
        token, issued = self._issue()
        info = self._database.transact(
            changes.create_key, account_name, issued, name, rights, actor
        )
        return NewKey(token, info)

    def make_key(
        self,
        maker: Principal,
        name: str | None,
        change: RightsChange,
        *,
        server_rate: int | None = None,
    ) -> NewKey:
        """A new key in the account of another one, which may do at most what that one may.

        Args:
            maker: Who makes it.
            name: What it is for.
            change: Where its rights differ from the maker's.
            server_rate: Requests a minute of keys without a limit of their own; None: any number.

        Raises:
            InvalidRequestError: The name or a limit is out of range.
            AuthenticationError, PermissionDeniedError, ConflictError: As `changes.make_key`.
        """
        check_name(name)
        token, issued = self._issue()
        info = self._database.transact(changes.make_key, maker, issued, name, change, server_rate)
        return NewKey(token, info)

    def list_keys(self, account_name: str | None = None) -> list[KeyInfo]:
        """Keys of one account, or of all, oldest first.

        Raises:
            NotFoundError: There is no such account.
        """
        if account_name is not None:
            self.account_id(account_name)
        return self._database.transact(repository.list_keys, account_name, readonly=True)

    def keys_of(self, account_id: str) -> list[KeyInfo]:
        """Keys of the account of that id, oldest first."""
        return self._database.transact(repository.keys_of, account_id, readonly=True)

    def get_key(self, key_id: str) -> KeyInfo:
        """What may be told of a key.

        Raises:
            NotFoundError: There is no such key.
        """
        return self._database.transact(changes.get_key, key_id, readonly=True)

    def change_key(
        self, key_id: str, change: RightsChange, *, name: str | None = None, actor: str
    ) -> KeyInfo:
        """Give a key other rights, or another name (None: as it was).

        Raises:
            NotFoundError: There is no such key.
            InvalidRequestError: The name or a limit is out of range.
        """
        check_name(name)
        return self._database.transact(changes.change_key, key_id, name, change, actor)

    def rotate_key(
        self,
        key_id: str,
        overlap_s: float = DEFAULT_OVERLAP_S,
        *,
        actor: str,
        holder: Principal | None = None,
    ) -> NewKey:
        """A new key with the rights of an old one, which works for `overlap_s` seconds more.

        Args:
            key_id: The old one.
            overlap_s: From 0 to 30 days.
            actor: Who does it, for the record.
            holder: Who does it with a key of the same account; None: an operator.

        Raises:
            InvalidRequestError: The overlap is out of range.
            NotFoundError, AuthenticationError, PermissionDeniedError, ConflictError: As
                `changes.rotate_key`.
        """
        overlap_end(clock.now(), overlap_s)
        token, issued = self._issue()
        info = self._database.transact(
            lambda connection: changes.rotate_key(
                connection, key_id, issued, overlap_s, actor=actor, holder=holder
            )
        )
        return NewKey(token, info)

    def revoke_key(
        self, key_id: str, *, actor: str = SERVER, account_id: str | None = None
    ) -> KeyInfo:
        """Make a key useless from now on; doing it again changes nothing.

        Args:
            key_id: Which one.
            actor: Who does it, for the record.
            account_id: Whose it has to be; None: anybody's.

        Raises:
            NotFoundError: There is no such key.
        """
        return self._database.transact(changes.revoke_key, key_id, actor, account_id)

    def account_id(self, name: str) -> str:
        """The id of the account of that name.

        Raises:
            NotFoundError: There is none.
        """
        account_id = None
        if _ACCOUNT_NAME.fullmatch(name) is not None:
            account_id = self._database.transact(repository.find_account, name, readonly=True)
        if account_id is None:
            raise NotFoundError(f"there is no account {name!r}")
        return account_id

    def ensure_account(self, name: str, *, actor: str = SERVER) -> str:
        """The id of the account of that name, which is made if there is none.

        Raises:
            InvalidRequestError: The name cannot be an account's.
        """
        _check_account_name(name)
        return self._database.transact(changes.ensure_account, name, actor)

    def _issue(self) -> tuple[str, Issued]:
        key_id, token = keys.new_token()
        return token, Issued(key_id, keys.token_hash(token, self._pepper))


def _check_account_name(name: str) -> None:
    if _ACCOUNT_NAME.fullmatch(name) is None:
        raise InvalidRequestError(
            f"{name!r} cannot name an account: 1 to 64 letters, digits and . _ @ -,"
            " a letter or digit first"
        )
