"""What every cell reports: points, by rounds.

A point is what one engine did in one round under one condition; a cell is points of all rounds and
the metrics that they hold. From them alone come the tables, the ratios and the plots.
"""

from collections.abc import Iterable, Sequence

import msgspec

from benchmarks.figures import Spread, spread

OURS = "photogram"
OTHERS_LIMIT_CORES = 0.2
"""Cores that anything but the benchmark may use while a point is measured."""


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One number of a point.

    Attributes:
        key: Its name in `Point.values`, unit last.
        title: The head of its column.
        digits: Decimals shown.
        is_rate: More is better; otherwise less is.
        is_compared: The table has a column of ratios for it.
    """

    key: str
    title: str
    digits: int
    is_rate: bool = False
    is_compared: bool = False


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What one engine did in one round under one condition.

    Attributes:
        round: From 0; points of one round are compared with one another.
        others_cores: CPU cores that other programs used meanwhile, on average.
        values: Metric key -> number.
        raw: What the values were made from, such as every latency.
    """

    engine: str
    condition: str
    round: int
    others_cores: float
    values: dict[str, float]
    raw: dict[str, list[float]] = {}

    @property
    def is_quiet(self) -> bool:
        """Nobody else used so much of the machine that the numbers mean little."""
        return self.others_cores <= OTHERS_LIMIT_CORES


class CellResult(msgspec.Struct, frozen=True, kw_only=True):
    """All that a cell measured.

    Attributes:
        remarks: What a reader has to know: failed gates, missing engines.
    """

    name: str
    title: str
    metrics: tuple[Metric, ...]
    points: tuple[Point, ...]
    remarks: tuple[str, ...] = ()


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a table: an engine under a condition, over all quiet rounds.

    Attributes:
        num_rounds: Rounds that count.
        values: Metric key -> its spread over the rounds.
        ratios: Metric key -> how many times better Photogram was, within each round.
        is_noisy: No round was quiet, so all of them count.
    """

    engine: str
    condition: str
    num_rounds: int
    values: dict[str, Spread]
    ratios: dict[str, Spread]
    is_noisy: bool


def summarise(result: CellResult) -> list[Summary]:
    """One summary for each condition and engine, in the order in which they were measured."""
    rows: list[Summary] = []
    for condition in dict.fromkeys(point.condition for point in result.points):
        points = [point for point in result.points if point.condition == condition]
        loud = {point.round for point in points if not point.is_quiet}
        quiet = [point for point in points if point.round not in loud]
        counted = quiet or points
        engines = sorted(dict.fromkeys(point.engine for point in counted), key=_ours_first)
        rows.extend(
            _summary(condition, engine, counted, result.metrics, is_noisy=not quiet)
            for engine in engines
        )
    return rows


def _ours_first(engine: str) -> bool:
    return not engine.startswith(OURS)


def _summary(
    condition: str,
    engine: str,
    points: Sequence[Point],
    metrics: Iterable[Metric],
    *,
    is_noisy: bool,
) -> Summary:
    own = [point for point in points if point.engine == engine]
    ours = {point.round: point for point in points if point.engine == OURS}
    values: dict[str, Spread] = {}
    ratios: dict[str, Spread] = {}
    for metric in metrics:
        if found := [point.values[metric.key] for point in own if metric.key in point.values]:
            values[metric.key] = spread(found)
        if metric.is_compared and engine != OURS:
            pairs = [(point, ours[point.round]) for point in own if point.round in ours]
            if times := [ratio for pair in pairs if (ratio := _times_better(metric, *pair))]:
                ratios[metric.key] = spread(times)
    return Summary(
        engine=engine,
        condition=condition,
        num_rounds=len({point.round for point in own}),
        values=values,
        ratios=ratios,
        is_noisy=is_noisy,
    )


def _times_better(metric: Metric, theirs: Point, ours: Point) -> float | None:
    """How many times better ours is; None where one of the two has no such number."""
    their, our = theirs.values.get(metric.key), ours.values.get(metric.key)
    if not their or not our:
        return None
    return our / their if metric.is_rate else their / our
