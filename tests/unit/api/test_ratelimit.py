import pytest

from photogram.api.ratelimit import AccountSlots
from photogram.core.errors import RateLimitedError


def test_an_account_has_so_many_places_and_no_more() -> None:
    slots = AccountSlots(2)
    with slots.hold("ann"), slots.hold("ann"):
        with pytest.raises(RateLimitedError, match="2 requests") as refused, slots.hold("ann"):
            pass
        assert refused.value.retry_after_s
        with slots.hold("bob"):
            pass
    with slots.hold("ann"), slots.hold("ann"):
        pass


def test_a_failure_gives_the_place_back() -> None:
    slots = AccountSlots(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), slots.hold("ann"):
            raise ZeroDivisionError
