"""Changes of accounts and keys: each is one transaction, with its entry in the journal.

Every function runs inside its caller's transaction, locks what it decides on, and says what the key
is then. An operator may do anything; the holder of a key, only what `rights` allows it, with the
rights that its key has at that moment, and only in its own account.
"""

import dataclasses
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from photogram.accounts import repository
from photogram.accounts.models import KeyInfo, Principal, Rights, RightsChange
from photogram.accounts.repository import NewKeyRow, StoredKey
from photogram.accounts.rights import check_gift, check_rights, check_takeover, overlap_end
from photogram.core import clock
from photogram.core.errors import AuthenticationError, ConflictError, NotFoundError
from photogram.core.ids import is_sane
from photogram.storage import journal

MAX_WORKING_KEYS = 100
"""Of one account, when its own keys make them."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A key that has an id and a token, and is not stored yet."""

    key_id: str
    token_hash: str


def ensure_account(connection: Connection, name: str, actor: str) -> str:
    """The id of the account of that name, which is made if there is none."""
    account_id, is_new = repository.ensure_account(connection, name)
    if is_new:
        journal.record(connection, actor, "account.create", account_id, name=name)
    return account_id


def create_key(
    connection: Connection,
    account_name: str,
    issued: Issued,
    name: str | None,
    rights: Rights,
    actor: str,
) -> KeyInfo:
    """A new key of an account, which is made if there is none."""
    account_id = ensure_account(connection, account_name, actor)
    new = NewKeyRow(issued.key_id, account_id, issued.token_hash, name, rights)
    return _add(connection, new, actor)


def make_key(
    connection: Connection,
    maker: Principal,
    issued: Issued,
    name: str | None,
    change: RightsChange,
    server_rate: int | None,
) -> KeyInfo:
    """A new key in its maker's account: with the maker's rights, but for `change`.

    What a limited key makes counts together with it; otherwise it could multiply its limits. The
    server's own rate is a limit of every key.

    Raises:
        AuthenticationError: The maker was revoked, or has expired, in the meantime.
        PermissionDeniedError: The new key could do more than its maker.
        ConflictError: The account has too many keys.
    """
    repository.lock_account(connection, maker.account_id)
    own = _working(connection, maker)
    rights = dataclasses.replace(own.rights, **change)
    check_rights(rights)
    check_gift(own, rights, server_rate=server_rate)
    _check_number(connection, own.account_id)
    is_limited = own.is_limited or server_rate is not None
    counts_as = own.counted_id if is_limited else None
    new = NewKeyRow(issued.key_id, own.account_id, issued.token_hash, name, rights, counts_as)
    return _add(connection, new, f"key:{own.key_id}")


def change_key(
    connection: Connection, key_id: str, name: str | None, change: RightsChange, actor: str
) -> KeyInfo:
    """Give a key other rights, or another name (None: as it was).

    Raises:
        NotFoundError: There is no such key.
    """
    stored = _locked(connection, key_id)
    rights = dataclasses.replace(stored.principal.rights, **change)
    check_rights(rights)
    repository.change_key(connection, key_id, name or stored.name, rights)
    journal.record(connection, actor, "key.change", key_id, name=name, **_words(change))
    return _info(connection, key_id)


def rotate_key(
    connection: Connection,
    key_id: str,
    issued: Issued,
    overlap_s: float,
    *,
    actor: str,
    holder: Principal | None = None,
) -> KeyInfo:
    """A new key with the rights of an old one, which expires soon. They count together.

    Args:
        connection: In a transaction.
        key_id: The old one.
        issued: The new one.
        overlap_s: Seconds until the old one expires.
        actor: Who does it.
        holder: Who does it with a key of the same account; None: an operator.

    Raises:
        AuthenticationError: The holder's key was revoked, or has expired, in the meantime.
        NotFoundError: There is no such key, or it is another account's.
        PermissionDeniedError: The old key can do more than the holder's.
        ConflictError: The old key does not work any more, or the account has too many keys.
    """
    if holder is not None:
        repository.lock_account(connection, holder.account_id)
    old = _locked(connection, key_id, None if holder is None else holder.account_id)
    if holder is not None:
        check_takeover(_working(connection, holder), old.principal)
        _check_number(connection, holder.account_id)
    now = clock.now()
    if not old.works(now):
        raise ConflictError(f"key {key_id!r} does not work any more; make a new one")
    principal = old.principal
    new = NewKeyRow(
        issued.key_id,
        principal.account_id,
        issued.token_hash,
        old.name,
        principal.rights,
        principal.counted_id,
    )
    info = _add(connection, new, actor, "key.rotate", replaces=key_id)
    ends_at = _earlier(principal.expires_at, overlap_end(now, overlap_s))
    repository.expire_key(connection, key_id, ends_at)
    return info


def revoke_key(
    connection: Connection, key_id: str, actor: str, account_id: str | None = None
) -> KeyInfo:
    """Make a key useless; again, it changes nothing.

    Args:
        connection: In a transaction.
        key_id: Which one.
        actor: Who does it.
        account_id: Whose it has to be; None: anybody's.

    Raises:
        NotFoundError: There is no such key, or it is another account's.
    """
    _locked(connection, key_id, account_id)
    if repository.revoke_key(connection, key_id):
        journal.record(connection, actor, "key.revoke", key_id)
    return _info(connection, key_id)


def get_key(connection: Connection, key_id: str) -> KeyInfo:
    """What may be told of a key.

    Raises:
        NotFoundError: There is no such key.
    """
    return _info(connection, key_id)


def _add(
    connection: Connection,
    new: NewKeyRow,
    actor: str,
    action: str = "key.create",
    replaces: str | None = None,
) -> KeyInfo:
    repository.add_key(connection, new)
    journal.record(
        connection,
        actor,
        action,
        new.key_id,
        account=new.account_id,
        name=new.name,
        replaces=replaces,
        **_words(_all(new.rights)),
    )
    return _info(connection, new.key_id)


def _all(rights: Rights) -> RightsChange:
    return {
        "scopes": rights.scopes,
        "requests_per_minute": rights.requests_per_minute,
        "jobs_at_once": rights.jobs_at_once,
        "spend_cap_micro": rights.spend_cap_micro,
        "expires_at": rights.expires_at,
    }


def _words(change: RightsChange) -> dict[str, object]:
    """Rights as the journal has them; what is without limit is the word ``none``."""
    words: dict[str, object] = {
        name: "none" if value is None else value for name, value in change.items()
    }
    if "scopes" in change:
        words["scopes"] = " ".join(sorted(change["scopes"]))
    return words


def _info(connection: Connection, key_id: str) -> KeyInfo:
    info = repository.get_key_info(connection, key_id)
    if info is None:
        raise _unknown(key_id)
    return info


def _locked(connection: Connection, key_id: str, account_id: str | None = None) -> StoredKey:
    # What cannot be an id is not asked for: PostgreSQL takes no NUL.
    stored = repository.lock_key(connection, key_id) if is_sane(key_id) else None
    # Another account's key is none: to say more would say that it is there.
    if stored is None or account_id not in (None, stored.principal.account_id):
        raise _unknown(key_id)
    return stored


def _working(connection: Connection, holder: Principal) -> Principal:
    """The holder with the rights that its key has now."""
    stored = repository.lock_key(connection, holder.key_id)
    if stored is None or not stored.works(clock.now()):
        raise AuthenticationError
    return stored.principal


def _check_number(connection: Connection, account_id: str) -> None:
    if repository.count_working_keys(connection, account_id) >= MAX_WORKING_KEYS:
        raise ConflictError(
            f"the account has {MAX_WORKING_KEYS} keys that work, which is the most; revoke one first"
        )


def _earlier(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else min(one, other)


def _unknown(key_id: str) -> NotFoundError:
    return NotFoundError(f"there is no key {key_id!r}")
