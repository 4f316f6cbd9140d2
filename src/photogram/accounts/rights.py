"""The rules of rights: what a key may be given at all, and what one key may give another. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from photogram.accounts.models import Principal, Rights, Scope
from photogram.core.errors import ErrorDetail, InvalidRequestError, PermissionDeniedError

MAX_REQUESTS_PER_MINUTE = 1_000_000
MAX_JOBS_AT_ONCE = 100_000
MAX_SPEND_CAP_MICRO = 10**15
MAX_NAME_LENGTH = 100
MAX_LIFE_S = 10 * 366 * 86_400
MAX_OVERLAP_S = 30 * 86_400
DEFAULT_OVERLAP_S = 86_400

_LIMITS = {
    "requests_per_minute": MAX_REQUESTS_PER_MINUTE,
    "jobs_at_once": MAX_JOBS_AT_ONCE,
    "spend_cap_micro": MAX_SPEND_CAP_MICRO,
}


def read_scopes(words: Iterable[str]) -> frozenset[Scope]:
    """Scopes by their names; none is as good as any number.

    Raises:
        InvalidRequestError: One of them is no scope.
    """
    given = list(words)
    allowed = tuple(scope.value for scope in Scope)
    for word in given:
        if word not in allowed:
            message = f"scopes: {word[:40]!r} is none of {', '.join(allowed)}"
            raise InvalidRequestError(
                message, details=[ErrorDetail("scopes", message, allowed=allowed)]
            )
    return frozenset(map(Scope, given))


def expiry(now: datetime, expires_in_s: float | None) -> datetime | None:
    """The instant so many seconds from now; None: never.

    Raises:
        InvalidRequestError: That is not later than now, or is too far away.
    """
    if expires_in_s is None:
        return None
    _check_range("expires_in_s", expires_in_s, 1, MAX_LIFE_S)
    return now + timedelta(seconds=expires_in_s)


def overlap_end(now: datetime, overlap_s: float) -> datetime:
    """When a key that was replaced stops working.

    Raises:
        InvalidRequestError: That is in the past, or too far away.
    """
    _check_range("overlap_s", overlap_s, 0, MAX_OVERLAP_S)
    return now + timedelta(seconds=overlap_s)


def check_rights(rights: Rights) -> None:
    """Refuse limits that make no sense.

    Raises:
        InvalidRequestError: One is out of range; it is named.
    """
    for name, maximum in _LIMITS.items():
        limit = getattr(rights, name)
        if limit is not None:
            _check_range(name, limit, 1, maximum)


def check_name(name: str | None) -> None:
    """Refuse a key's name that could not be shown.

    Raises:
        InvalidRequestError: It is empty, too long or not printable.
    """
    if name is None or (name.strip() and len(name) <= MAX_NAME_LENGTH and name.isprintable()):
        return
    message = f"name must be 1 to {MAX_NAME_LENGTH} printable characters"
    raise InvalidRequestError(
        message, details=[ErrorDetail("name", message, min=1, max=MAX_NAME_LENGTH)]
    )


def check_gift(maker: Rights, given: Rights, *, server_rate: int | None) -> None:
    """Refuse a key that could do more than its maker.

    Args:
        maker: The rights of the key that makes another one.
        given: The rights that the other one is to have.
        server_rate: Requests a minute of keys without a limit of their own; None: any number.

    Raises:
        PermissionDeniedError: A right goes beyond the maker's; it is named.
    """
    if missing := given.scopes - maker.scopes:
        raise PermissionDeniedError(
            f"this key cannot give the scope {', '.join(sorted(missing))}, which it does not have"
        )
    ceilings = {
        "requests_per_minute": maker.requests_per_minute,
        "jobs_at_once": maker.jobs_at_once,
        "spend_cap_micro": maker.spend_cap_micro,
        "expires_at": maker.expires_at,
    }
    for name, ceiling in ceilings.items():
        value = getattr(given, name)
        if ceiling is not None and (value is None or value > ceiling):
            raise PermissionDeniedError(
                f"{name.removesuffix('_micro')} cannot go beyond this key's own"
            )
    rate = given.requests_per_minute
    if (
        maker.requests_per_minute is None
        and server_rate
        and rate is not None
        and rate > server_rate
    ):
        raise PermissionDeniedError(
            f"requests_per_minute cannot go beyond the server's {server_rate}"
        )


def check_takeover(own: Principal, other: Principal) -> None:
    """Refuse to let one key get the token of a successor of another one that can do more.

    Raises:
        PermissionDeniedError: The other one has a right beyond the own, or a count of its own.
    """
    if other.key_id == own.key_id:
        return
    if own.is_limited and other.counted_id != own.counted_id:
        raise PermissionDeniedError(
            "this key has limits of its own, so it can rotate only keys that share them"
        )
    check_gift(own, other, server_rate=None)


def _check_range(name: str, value: float, minimum: float, maximum: float) -> None:
    if not minimum <= value <= maximum:
        message = f"{name} must be from {minimum} to {maximum}"
        detail = ErrorDetail(name, message, min=minimum, max=maximum)
        raise InvalidRequestError(message, details=[detail])
