"""What the server costs over the engine: a request's wall time minus the engine's own for it.

The engine's time is the answer's `x-generation-time`, from the first work on the request to its file,
so HTTP, the key, the ledger, the pipe between the processes and the queue all count as the server's.
The peer does not say its engine's time, so only Photogram has points.
"""

import statistics

from benchmarks.client import Client
from benchmarks.points import OURS, Metric, Point
from benchmarks.quiet import OthersWatch
from benchmarks.serving import ServerCell, Visit
from benchmarks.traffic import MIN_STEPS, Request

_MS_PER_S = 1000


async def _measure(visit: Visit) -> list[Point]:
    if visit.site.name != OURS:
        return []
    async with Client(visit.site) as client:
        return [await _steps(visit, client, steps) for steps in (MIN_STEPS, visit.scale.steps)]


async def _steps(visit: Visit, client: Client, steps: int) -> Point:
    count = visit.scale.overhead_requests
    wanted = [Request(prompt=f"overhead {steps}-{index}", steps=steps) for index in range(count)]
    others = OthersWatch()
    answers = await client.one_by_one(wanted)
    costs = [
        _MS_PER_S * (answer.latency_s - answer.engine_s)
        for answer in answers
        if answer.engine_s is not None
    ]
    return visit.point(
        f"{steps} steps, one request at a time",
        others,
        {
            "server_ms": statistics.median(costs),
            "worst_server_ms": max(costs),
            "wall_ms": _MS_PER_S * statistics.median(answer.latency_s for answer in answers),
        },
        {"server_ms": costs},
    )


CELL = ServerCell(
    name="overhead",
    title="The server's cost over the engine alone",
    metrics=(
        Metric(key="server_ms", title="server ms", digits=1),
        Metric(key="worst_server_ms", title="worst", digits=1),
        Metric(key="wall_ms", title="whole request ms", digits=1),
    ),
    measure=_measure,
)
