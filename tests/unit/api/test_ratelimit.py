from contextlib import AbstractContextManager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photogram.api.ratelimit import KeyRates, SignIns, Slots
from photogram.core.errors import RateLimitedError

MINUTE_NS = 60_000_000_000


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now_ns = 10**15

    def __call__(self) -> int:
        return self.now_ns


def _hold(slots: Slots, holder_id: str, limit: int) -> AbstractContextManager[None]:
    return slots.hold(holder_id, limit, whose=f"the holder {holder_id}")


def test_there_are_so_many_places_and_no_more() -> None:
    slots = Slots()
    with _hold(slots, "ann", 2), _hold(slots, "ann", 2):
        words = "the holder ann already has 2 requests"
        with pytest.raises(RateLimitedError, match=words) as refused, _hold(slots, "ann", 2):
            pass
        assert refused.value.retry_after_s
        with _hold(slots, "bob", 2):
            pass
    with _hold(slots, "ann", 2), _hold(slots, "ann", 2):
        pass


def test_a_failure_gives_the_place_back() -> None:
    slots = Slots()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), _hold(slots, "ann", 1):
            raise ZeroDivisionError


@pytest.mark.parametrize("limit", [1, 2, 7, 60, 601, 1_000_000])
def test_a_key_may_use_its_whole_minute_at_once_and_no_more(limit: int) -> None:
    rates = KeyRates(Clock())
    num_asked = min(limit, 1000)
    left = [rates.count("ann", limit).num_left for _ in range(num_asked)]
    assert left == list(range(limit - 1, limit - num_asked - 1, -1))
    if num_asked == limit:
        refused = rates.count("ann", limit)
        assert (refused.is_exceeded, refused.num_left) == (True, 0)
        with pytest.raises(RateLimitedError, match=f"{limit} requests a minute") as failed:
            refused.check()
        assert failed.value.retry_after_s == refused.next_after_s
    rates.count("bob", limit).check()


def test_requests_come_back_one_by_one() -> None:
    clock = Clock()
    rates = KeyRates(clock)
    for _ in range(3):
        rates.count("ann", 3).check()
    assert rates.count("ann", 3).next_after_s == 20
    clock.now_ns += MINUTE_NS // 3 - 1
    assert rates.count("ann", 3).is_exceeded
    clock.now_ns += 1
    rates.count("ann", 3).check()
    assert rates.count("ann", 3).is_exceeded
    clock.now_ns += 10 * MINUTE_NS
    assert [rates.count("ann", 3).is_exceeded for _ in range(4)] == [False, False, False, True]


def test_keys_with_different_limits_may_share_a_count() -> None:
    """A limit that is changed in the middle is such a key, too."""
    rates = KeyRates(Clock())
    assert [rates.count("ann", 60).num_left for _ in range(30)][-1] == 30
    assert rates.count("ann", 10).num_left == 4
    assert [rates.count("ann", 10).is_exceeded for _ in range(5)] == [*[False] * 4, True]
    full = rates.count("ann", 7)
    assert (full.is_exceeded, full.num_left, full.next_after_s) == (True, 0, 9)


def test_an_allowance_in_headers() -> None:
    rates = KeyRates(Clock())
    assert rates.count("ann", 60).headers == {
        "ratelimit-policy": '"key";q=60;w=60',
        "ratelimit": '"key";r=59;t=1',
    }


@given(limit=st.integers(1, 100), waits_ns=st.lists(st.integers(0, MINUTE_NS), max_size=200))
def test_no_minute_holds_more_than_twice_the_limit_and_who_waits_is_served(
    limit: int, waits_ns: list[int]
) -> None:
    clock = Clock()
    rates = KeyRates(clock)
    counted_ns = []
    for wait_ns in waits_ns:
        clock.now_ns += wait_ns // limit
        allowance = rates.count("ann", limit)
        if allowance.is_exceeded:
            clock.now_ns += allowance.next_after_s * 1_000_000_000
            assert not rates.count("ann", limit).is_exceeded
        counted_ns.append(clock.now_ns)
    for start_ns in counted_ns:
        assert sum(start_ns <= at_ns < start_ns + MINUTE_NS for at_ns in counted_ns) <= 2 * limit


def _try(sign_ins: SignIns, host: str) -> bool:
    try:
        sign_ins.count(host)
    except RateLimitedError:
        return False
    return True


class TestSignIns:
    def test_an_address_has_so_many_in_a_minute(self) -> None:
        clock = Clock()
        sign_ins = SignIns(clock)
        assert sum(_try(sign_ins, "192.0.2.1") for _ in range(40)) == 30
        assert _try(sign_ins, "192.0.2.2")
        clock.now_ns += MINUTE_NS
        assert _try(sign_ins, "192.0.2.1")

    def test_a_network_of_ipv6_is_one_address_and_one_of_ipv4_is_not(self) -> None:
        sign_ins = SignIns(Clock())
        assert sum(_try(sign_ins, f"2001:db8::{number:x}") for number in range(40)) == 30
        assert _try(sign_ins, "2001:db8:0:1::1")
        assert all(_try(sign_ins, f"::ffff:192.0.2.{number}") for number in range(40))

    def test_what_is_remembered_is_bounded(self) -> None:
        sign_ins = SignIns(Clock())
        for number in range(10_050):
            sign_ins.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        assert len(sign_ins._addresses) < 10_000
