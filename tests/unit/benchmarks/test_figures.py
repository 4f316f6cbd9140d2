import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import Spread, percentile, share_within, spread

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)


def test_a_spread_is_the_median_and_the_ends() -> None:
    assert spread([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)])
def test_a_percentile_is_the_value_at_its_rank(share: float, expected: int) -> None:
    assert percentile(range(100, 0, -1), share) == expected


def test_a_percentile_of_few_values_is_the_largest() -> None:
    assert percentile([1.0, 5.0, 2.0], 0.95) == 5.0


@given(VALUES, st.sampled_from([0.01, 0.07, 0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)
    below = [value for value in values if value < found]
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert len(below) < share * len(values)


def test_a_request_without_a_picture_meets_no_deadline() -> None:
    assert share_within([1.0, float("inf"), 3.0, 2.0], [1.0, 9.0, 2.0, 2.0]) == 0.5
