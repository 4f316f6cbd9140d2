"""Runs engines in turns, in one process, and keeps enough quiet rounds.

It knows no engine: what is measured is a function from the round to values.
"""

from collections.abc import Callable, Mapping

from benchmarks.points import Point
from benchmarks.quiet import OthersWatch

Measure = Callable[[int], dict[str, float]]
"""Takes the round and returns metric key -> number."""

_MOST_ROUNDS_PER_WANTED = 2


def take_turns(engines: Mapping[str, Measure], condition: str, num_rounds: int) -> list[Point]:
    """Measure every engine once a round, in alternating order.

    Rounds in which others were busy are measured again, up to as many again as were wanted.

    Args:
        engines: Name -> what measures it once.
        condition: Of all points.
        num_rounds: Quiet rounds wanted.
    """
    points: list[Point] = []
    num_quiet = 0
    for index in range(_MOST_ROUNDS_PER_WANTED * num_rounds):
        if num_quiet == num_rounds:
            break
        others = OthersWatch()
        names = list(engines) if index % 2 else list(engines)[::-1]
        values = {name: engines[name](index) for name in names}
        cores = others.cores()
        points += [
            Point(
                engine=name,
                condition=condition,
                round=index,
                others_cores=cores,
                values=values[name],
            )
            for name in engines
        ]
        num_quiet += points[-1].is_quiet
    return points
