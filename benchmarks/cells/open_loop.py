"""Open loop: Poisson arrivals at shares of a server's capacity, which it is asked for first.

Both servers get the peer's rates, so that they can be compared; Photogram gets those of its own
capacity, too. A latency counts from the scheduled arrival. A deadline is a multiple of the time that a
request of the same size and steps takes alone on the same server.
"""

import time
from collections.abc import Callable

from benchmarks.cells.closed_loop import LATENCY_METRICS, count_answered, latency_values
from benchmarks.client import Answer, Client
from benchmarks.figures import share_within
from benchmarks.points import OURS, Metric, Point
from benchmarks.quiet import OthersWatch
from benchmarks.servers import PEER
from benchmarks.serving import ServerCell, Visit
from benchmarks.traffic import (
    MAX_STEPS,
    MIN_STEPS,
    SHAPES,
    Mix,
    Request,
    arrivals,
    interpolate,
    requests,
)

_MIXES: tuple[Mix, ...] = ("uniform", "skewed")
_DEADLINES = (1.5, 2.0, 3.0)
_GOODPUT_DEADLINE = 3.0
_CAPACITY_CLIENTS = 16

_TimeAlone = Callable[[Request], float]


async def _measure(visit: Visit) -> list[Point]:
    if visit.round >= visit.scale.open_rounds:
        return []
    found: list[Point] = []
    async with Client(visit.site) as client:
        time_alone = await _times_alone(visit, client)
        for mix in _MIXES:
            found.append(capacity := await _capacity(visit, client, mix))
            per_s = {visit.site.name: capacity.values["pictures_per_s"]}
            per_s |= _peer_capacity(visit, mix)
            for owner, rate_per_s in per_s.items():
                for load in visit.scale.open_loads:
                    of_whom = "the peer's" if owner == PEER else "Photogram's"
                    condition = f"{mix}, {load:g} of {of_whom} capacity"
                    point = await _load(
                        visit, client, mix, condition, load * rate_per_s, time_alone
                    )
                    found.append(point)
    return found


def _peer_capacity(visit: Visit, mix: Mix) -> dict[str, float]:
    if visit.site.name != OURS:
        return {}
    points = [point for point in visit.earlier if point.engine == PEER]
    rates = [point.values["pictures_per_s"] for point in points if point.condition == _closed(mix)]
    return {PEER: rates[-1]} if rates else {}


def _closed(mix: Mix) -> str:
    return f"{mix}, capacity: {_CAPACITY_CLIENTS} clients that wait"


async def _times_alone(visit: Visit, client: Client) -> _TimeAlone:
    """What a request takes alone: measured for each size at the ends, between them a line."""
    ends: dict[tuple[str, str], tuple[float, float]] = {}
    for shape in SHAPES:
        fastest = []
        for steps in (MIN_STEPS, MAX_STEPS):
            wanted = [
                Request(
                    prompt=f"alone {shape} {steps} {visit.round}-{index}",
                    aspect_ratio=shape[0],
                    megapixels=shape[1],
                    steps=steps,
                )
                for index in range(visit.scale.alone_repeats)
            ]
            fastest.append(min(one.latency_s for one in await client.one_by_one(wanted)))
        ends[shape] = (fastest[0], fastest[1])
    return lambda request: interpolate(
        request.steps, *ends[request.aspect_ratio, request.megapixels]
    )


async def _capacity(visit: Visit, client: Client, mix: Mix) -> Point:
    wanted = requests(mix, visit.scale.open_requests, seed=-1 - visit.round)
    others, started_at = OthersWatch(), time.perf_counter()
    answers = await client.closed_loop(wanted, _CAPACITY_CLIENTS)
    per_s = count_answered(answers) / (time.perf_counter() - started_at)
    return visit.point(_closed(mix), others, {"pictures_per_s": per_s} | latency_values(answers))


async def _load(
    visit: Visit,
    client: Client,
    mix: Mix,
    condition: str,
    rate_per_s: float,
    time_alone: _TimeAlone,
) -> Point:
    count = visit.scale.open_requests
    wanted = requests(mix, count, seed=visit.round)
    others, started_at = OthersWatch(), time.perf_counter()
    answers = await client.open_loop(wanted, arrivals(count, rate_per_s, seed=visit.round))
    return visit.point(
        condition,
        others,
        {"offered_per_s": rate_per_s}
        | _values(answers, [time_alone(one) for one in wanted], time.perf_counter() - started_at),
        {"latency_s": [answer.latency_s for answer in answers]},
    )


def _values(answers: list[Answer], alone_s: list[float], makespan_s: float) -> dict[str, float]:
    latencies = [answer.latency_s for answer in answers]
    within = {
        deadline: share_within(latencies, [deadline * alone for alone in alone_s])
        for deadline in _DEADLINES
    }
    return (
        {
            "pictures_per_s": count_answered(answers) / makespan_s,
            "goodput_per_s": within[_GOODPUT_DEADLINE] * len(answers) / makespan_s,
        }
        | {_slo_key(deadline): 100 * share for deadline, share in within.items()}
        | latency_values(answers)
    )


def _slo_key(deadline: float) -> str:
    return f"within_{deadline:g}x_percent"


CELL = ServerCell(
    name="open",
    title="Open loop over HTTP: Poisson arrivals, latency from the scheduled arrival",
    metrics=(
        Metric(key="offered_per_s", title="offered/s", digits=2),
        Metric(key="pictures_per_s", title="pictures/s", digits=2, is_rate=True),
        Metric(
            key="goodput_per_s",
            title=f"goodput/s (within {_GOODPUT_DEADLINE:g}x)",
            digits=2,
            is_rate=True,
            is_compared=True,
        ),
        *LATENCY_METRICS,
        *(
            Metric(key=_slo_key(deadline), title=f"% within {deadline:g}x", digits=0)
            for deadline in _DEADLINES
        ),
    ),
    measure=_measure,
)
