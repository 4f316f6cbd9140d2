"""What the rest of the server sees of accounts and keys: plain data, never a token hash."""

from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import TypedDict


class Scope(StrEnum):
    """What a key may be allowed to do."""

    GENERATE = "generate"  # paint, and cancel
    READ = "read"  # results, history, usage, balance
    WEBHOOKS = "webhooks"
    KEYS = "keys"  # make, rotate and revoke keys of the same account


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a key may do, how much of it, and until when.

    Attributes:
        requests_per_minute: None: the server's own limit.
        jobs_at_once: None: only the account's limit.
        spend_cap_micro: Micro-credits that it may spend in all; None: what the account has.
        expires_at: None: never.
    """

    scopes: frozenset[Scope] = frozenset(Scope)
    requests_per_minute: int | None = None
    jobs_at_once: int | None = None
    spend_cap_micro: int | None = None
    expires_at: datetime | None = None

    @property
    def rights(self) -> "Rights":
        """These alone, of who has them."""
        return Rights(**{each.name: getattr(self, each.name) for each in fields(Rights)})

    @property
    def is_limited(self) -> bool:
        """Whether it has a limit of its own on what it may do."""
        limits = (self.requests_per_minute, self.jobs_at_once, self.spend_cap_micro)
        return any(limit is not None for limit in limits)


class RightsChange(TypedDict, total=False):
    """Those of `Rights` that are to be other ones."""

    scopes: frozenset[Scope]
    requests_per_minute: int | None
    jobs_at_once: int | None
    spend_cap_micro: int | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Principal(Rights):
    """Who makes a request: an account, through one of its keys.

    Attributes:
        counts_as: The key whose limits it shares; None: it has its own.
    """

    account_id: str
    key_id: str
    counts_as: str | None = None

    @property
    def counted_id(self) -> str:
        """The key under which what it does is counted."""
        return self.counts_as or self.key_id


@dataclass(frozen=True, slots=True)
class KeyInfo(Rights):
    """A key as it may be listed.

    Attributes:
        counts_as: The key whose limits it shares.
        settled_micro: Micro-credits that it has spent; those held for open jobs are not among them.
        revoked_at: None while it works.
    """

    key_id: str
    account_id: str
    account_name: str
    name: str | None
    counts_as: str | None
    settled_micro: int
    created_at: datetime
    revoked_at: datetime | None

    def state(self, now: datetime) -> str:
        """``valid``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment when its token is known."""

    token: str = field(repr=False)
    info: KeyInfo

    @property
    def key_id(self) -> str:
        """The public part of the token."""
        return self.info.key_id

    @property
    def account_name(self) -> str:
        """Whose key it is."""
        return self.info.account_name


@dataclass(frozen=True, slots=True)
class OperatorKeyInfo:
    """An operator's key as it may be listed."""

    key_id: str
    name: str
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewOperatorKey:
    """An operator's key at the only moment when its token is known."""

    key_id: str
    token: str = field(repr=False)
    name: str
