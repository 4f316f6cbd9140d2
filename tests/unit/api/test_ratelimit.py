import pytest
from hypothesis import given
from hypothesis import strategies as st

from photogram.api.ratelimit import AccountSlots, KeyRates
from photogram.core.errors import RateLimitedError

MINUTE_NS = 60_000_000_000


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now_ns = 10**15

    def __call__(self) -> int:
        return self.now_ns


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


@pytest.mark.parametrize("limit", [1, 2, 7, 60, 601, 1_000_000])
def test_a_key_may_use_its_whole_minute_at_once_and_no_more(limit: int) -> None:
    rates = KeyRates(limit, Clock())
    num_asked = min(limit, 1000)
    left = [rates.count("ann").num_left for _ in range(num_asked)]
    assert left == list(range(limit - 1, limit - num_asked - 1, -1))
    if num_asked == limit:
        refused = rates.count("ann")
        assert (refused.is_exceeded, refused.num_left) == (True, 0)
        with pytest.raises(RateLimitedError, match=f"{limit} requests a minute") as failed:
            refused.check()
        assert failed.value.retry_after_s == refused.next_after_s
    rates.count("bob").check()


def test_requests_come_back_one_by_one() -> None:
    clock = Clock()
    rates = KeyRates(3, clock)
    for _ in range(3):
        rates.count("ann").check()
    assert rates.count("ann").next_after_s == 20
    clock.now_ns += MINUTE_NS // 3 - 1
    assert rates.count("ann").is_exceeded
    clock.now_ns += 1
    rates.count("ann").check()
    assert rates.count("ann").is_exceeded
    clock.now_ns += 10 * MINUTE_NS
    assert [rates.count("ann").is_exceeded for _ in range(4)] == [False, False, False, True]


def test_an_allowance_in_headers() -> None:
    rates = KeyRates(60, Clock())
    assert rates.count("ann").headers == {
        "ratelimit-policy": '"key";q=60;w=60',
        "ratelimit": '"key";r=59;t=1',
    }


@given(limit=st.integers(1, 100), waits_ns=st.lists(st.integers(0, MINUTE_NS), max_size=200))
def test_no_minute_holds_more_than_twice_the_limit_and_who_waits_is_served(
    limit: int, waits_ns: list[int]
) -> None:
    clock = Clock()
    rates = KeyRates(limit, clock)
    counted_ns = []
    for wait_ns in waits_ns:
        clock.now_ns += wait_ns // limit
        allowance = rates.count("ann")
        if allowance.is_exceeded:
            clock.now_ns += allowance.next_after_s * 1_000_000_000
            assert not rates.count("ann").is_exceeded
        counted_ns.append(clock.now_ns)
    for start_ns in counted_ns:
        assert sum(start_ns <= at_ns < start_ns + MINUTE_NS for at_ns in counted_ns) <= 2 * limit
