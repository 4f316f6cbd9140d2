"""How many requests an account or a key may have under way at once, and a key make in a minute.

Also, how often an address may try to sign in. All count in this process. Who has places is
forgotten when its last request ends; of a key's minutes one number is kept. What is counted, and how
much is allowed, is the caller's choice.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from math import ceil

from photogram.core.errors import RateLimitedError

_RETRY_AFTER_S = 2.0
_WINDOW_S = 60
_SIGN_INS = 30
_MOST_ADDRESSES = 10_000
_NUM_HOST_BITS = 64
_NS_PER_S = 1_000_000_000


class Slots:
    """Places that are held while a request is under way."""

    def __init__(self) -> None:
        self._num_held: Counter[str] = Counter()

    @contextmanager
    def hold(self, holder_id: str, limit: int, *, whose: str) -> Iterator[None]:
        """Keep one of so many places.

        Args:
            holder_id: Whose places are counted.
            limit: How many there are.
            whose: The holder in words, for the refusal.

        Raises:
            RateLimitedError: All of them are taken.
        """
        if self._num_held[holder_id] >= limit:
            raise RateLimitedError(
                f"{whose} already has {limit} requests under way, which is its limit",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._num_held[holder_id] += 1
        try:
            yield
        finally:
            self._num_held[holder_id] -= 1
            if not self._num_held[holder_id]:
                del self._num_held[holder_id]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a key may still do, right after a request was counted or refused.

    Attributes:
        limit: Requests in a minute.
        num_left: Requests that it may make at once now.
        next_after_s: Whole seconds until it is one more, at least 1.
        is_exceeded: The request was one too many, and does not count.
    """

    limit: int
    num_left: int
    next_after_s: int
    is_exceeded: bool

    @property
    def headers(self) -> dict[str, str]:
        """As clients are told. Source: draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4."""
        return {
            "ratelimit-policy": f'"key";q={self.limit};w={_WINDOW_S}',
            "ratelimit": f'"key";r={self.num_left};t={self.next_after_s}',
        }

    def check(self) -> None:
        """Let a request pass that is not one too many.

        Raises:
            RateLimitedError: It is.
        """
        if self.is_exceeded:
            raise RateLimitedError(
                f"this key has used up its {self.limit} requests a minute; one more is allowed in "
                f"{self.next_after_s} s",
                retry_after_s=self.next_after_s,
            )


class KeyRates:
    """A number of requests a minute for each key: all at once, or evenly spread.

    What is kept is the time that a key has used up, so that keys with different limits may share
    a count, and a limit may change.

    Source: the generic cell rate algorithm (ITU-T I.371, annex A), with a burst of a whole minute.

    Args:
        clock_ns: Nanoseconds that never go back.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._free_at_ns: dict[str, int] = {}
        """When all requests of a key are allowed again."""

    def count(self, key_id: str, limit: int) -> Allowance:
        """Count a request, unless it is one too many.

        Args:
            key_id: The key that it counts for.
            limit: Requests in a minute, at least 1.
        """
        interval_ns = _WINDOW_S * _NS_PER_S // limit
        window_ns = limit * interval_ns
        now_ns = self._clock_ns()
        used_ns = max(self._free_at_ns.get(key_id, 0) - now_ns, 0)
        is_exceeded = used_ns + interval_ns > window_ns
        if not is_exceeded:
            used_ns += interval_ns
            self._free_at_ns[key_id] = now_ns + used_ns
        # With a larger limit before, slightly more than this window may have been used.
        num_left = max(window_ns - used_ns, 0) // interval_ns
        next_after_ns = used_ns - (window_ns - (num_left + 1) * interval_ns)
        return Allowance(
            limit=limit,
            num_left=num_left,
            next_after_s=max(1, ceil(next_after_ns / _NS_PER_S)),
            is_exceeded=is_exceeded,
        )


class SignIns:
    """So many attempts to sign in a minute for each address, right or wrong.

    A network's worth of IPv6 addresses counts as one: whoever has one of them has all.

    Args:
        clock_ns: Nanoseconds that never go back.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._rates = KeyRates(clock_ns)
        self._addresses: set[str] = set()

    def count(self, host: str) -> None:
        """Count an attempt.

        Args:
            host: The address that it comes from.

        Raises:
            RateLimitedError: It is one too many.
        """
        network = _network(host)
        self._addresses.add(network)
        if len(self._addresses) > _MOST_ADDRESSES:  # nobody's memory is used up by trying
            self._rates, self._addresses = KeyRates(self._clock_ns), {network}
        allowance = self._rates.count(network, _SIGN_INS)
        if allowance.is_exceeded:
            raise RateLimitedError(
                f"too many sign-ins from this address, at most {_SIGN_INS} a minute; try again in "
                f"{allowance.next_after_s} s",
                retry_after_s=allowance.next_after_s,
            )


def _network(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:  # a Unix socket has none
        return host
    if not isinstance(address, IPv6Address) or address.ipv4_mapped:
        return host
    return f"{int(address) >> _NUM_HOST_BITS:x}::"
