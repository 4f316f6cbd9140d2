"""A plot of amounts by day: days and numbers in, the geometry of an SVG's bars out. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil, log10
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 220

_LEFT, _TOP, _BOTTOM = 56, 20, 24
_GAP = 0.25
_MOST_LABELS = 7
_NUM_LINES = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """One day; lengths are in the SVG's own units, from its top left corner."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A word on an axis, and where."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """What the template draws."""

    bars: tuple[Bar, ...]
    lines: tuple[Mark, ...]
    days: tuple[Mark, ...]
    left: int = _LEFT
    width: int = WIDTH
    height: int = HEIGHT


def plot_days(since: date, until: date, amounts: Mapping[date, float], unit: str) -> Plot:
    """A bar for each day from `since` to `until`, both included; days without an amount are 0."""
    days = [since + timedelta(number) for number in range((until - since).days + 1)]
    room = (WIDTH - _LEFT) / len(days)
    tall = HEIGHT - _TOP - _BOTTOM
    step = _round_step(max(amounts.values(), default=0.0) / _NUM_LINES)
    scale = tall / (step * _NUM_LINES)
    bars = tuple(
        Bar(
            x=round(_LEFT + room * (number + _GAP / 2), 2),
            y=round(_TOP + tall - amounts.get(day, 0.0) * scale, 2),
            width=round(room * (1 - _GAP), 2),
            height=round(amounts.get(day, 0.0) * scale, 2),
            label=f"{day}: {amounts.get(day, 0.0):g} {unit}",
        )
        for number, day in enumerate(days)
    )
    lines = tuple(
        Mark(round(_TOP + tall - number * step * scale, 2), f"{number * step:g}")
        for number in range(_NUM_LINES + 1)
    )
    every = ceil(len(days) / _MOST_LABELS)
    marks = tuple(
        Mark(round(_LEFT + room * (number + 0.5), 2), f"{day.day} {day:%b}")
        for number, day in enumerate(days)
        if number % every == 0
    )
    return Plot(bars, lines, marks)


def _round_step(least: float) -> float:
    """The least of 1, 2, 2.5 and 5 times a power of ten that is at least so much."""
    if least <= 0:
        return 0.25
    power = 10.0 ** int(log10(least) // 1)
    return next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= least)
