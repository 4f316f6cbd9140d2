"""What the rest of the server sees of accounts and keys: plain data, never a token hash."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request: an account, through one of its keys."""

    account_id: str
    key_id: str


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment when its token is known."""

    key_id: str
    token: str
    account_name: str


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as it may be listed. Instants are aware UTC; `revoked_at` is None while it works."""

    key_id: str
    account_name: str
    created_at: datetime
    revoked_at: datetime | None
