"""How many requests of one account may be under way at once.

Counts in this process and forgets an account when its last request ends; what is counted is the
routes' choice.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from photogram.core.errors import RateLimitedError

_RETRY_AFTER_S = 2.0


class AccountSlots:
    """A number of places for each account."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._num_held: Counter[str] = Counter()

    @contextmanager
    def hold(self, account_id: str) -> Iterator[None]:
        """Keep one of the account's places.

        Raises:
            RateLimitedError: All of them are taken.
        """
        if self._num_held[account_id] >= self._limit:
            raise RateLimitedError(
                f"this account already has {self._limit} requests under way, which is its limit",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._num_held[account_id] += 1
        try:
            yield
        finally:
            self._num_held[account_id] -= 1
            if not self._num_held[account_id]:
                del self._num_held[account_id]
