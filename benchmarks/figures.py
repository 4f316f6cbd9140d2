"""The arithmetic of a report: percentiles, spreads, and ratios within a round.

Numbers in, numbers out; pure.
"""

import math
import statistics
from collections.abc import Sequence

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """Median, smallest and largest of some values."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median, smallest and largest of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank).

    Args:
        values: At least one.
        share: Above 0, at most 1: 0.95 for p95.
    """
    ordered = sorted(values)
    # rounded first: 0.07 * 100 is a hair above 7
    rank = math.ceil(round(share * len(ordered), 9))
    return ordered[max(rank, 1) - 1]


def share_within(values: Sequence[float], limits: Sequence[float]) -> float:
    """The share of values that are at most their own limit; an infinite value never is."""
    return sum(value <= limit for value, limit in zip(values, limits, strict=True)) / len(values)
