"""Fairness: what others' load does to somebody who asks for little.

One account keeps many requests under way while another sends one at a time; and a request of 4 steps
arrives behind eight of 50. Both are told as multiples of the same request's time alone.
"""

import asyncio
import contextlib
import itertools
import statistics

from benchmarks.client import Client
from benchmarks.points import Metric, Point
from benchmarks.quiet import OthersWatch
from benchmarks.servers import TRICKLE_ACCOUNT
from benchmarks.serving import ServerCell, Visit
from benchmarks.traffic import MIN_STEPS, Request

_NUM_LONG = 8
_SETTLE_S = 0.2
"""So long after the others are sent comes the request that is measured."""


async def _measure(visit: Visit) -> list[Point]:
    async with Client(visit.site) as client:
        return [await _trickle(visit, client), await _overtake(visit, client)]


async def _trickle(visit: Visit, client: Client) -> Point:
    """One account floods, another sends one request at a time."""
    scale, others = visit.scale, OthersWatch()
    alone_s = await _median_alone(client, scale.steps, scale.trickle_requests)
    flood = asyncio.create_task(
        client.closed_loop(
            (Request(prompt=f"flood {index}", steps=scale.steps) for index in itertools.count()),
            scale.flood_outstanding,
        )
    )
    await asyncio.sleep(_SETTLE_S)
    latencies = []
    for index in range(scale.trickle_requests):
        request = Request(prompt=f"trickle {index}", steps=scale.steps)
        latencies.append((await client.paint(request, TRICKLE_ACCOUNT)).latency_s)
    flood.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await flood
    condition = f"one at a time beside {scale.flood_outstanding} of another account"
    return visit.point(condition, others, _values(alone_s, latencies), {"latency_s": latencies})


async def _overtake(visit: Visit, client: Client) -> Point:
    """A short request arrives behind eight long ones of the same account."""
    await _wait_until_idle(client)
    scale, others = visit.scale, OthersWatch()
    alone_s = await _median_alone(client, MIN_STEPS, scale.trickle_requests)
    latencies = []
    for repeat in range(scale.overtake_repeats):
        wanted = [
            Request(prompt=f"long {repeat}-{index}", steps=scale.long_steps)
            for index in range(_NUM_LONG)
        ]
        long = asyncio.create_task(client.closed_loop(wanted, _NUM_LONG))
        await asyncio.sleep(_SETTLE_S)
        short = Request(prompt=f"short {repeat}", steps=MIN_STEPS)
        latencies.append((await client.paint(short)).latency_s)
        await long
    condition = f"{MIN_STEPS} steps behind {_NUM_LONG} requests of {scale.long_steps} steps"
    return visit.point(condition, others, _values(alone_s, latencies), {"latency_s": latencies})


async def _wait_until_idle(client: Client) -> None:
    """The flood was hung up on, but a server without cancelling still paints it."""
    await client.paint(Request(prompt="the queue is empty", steps=1))


async def _median_alone(client: Client, steps: int, count: int) -> float:
    wanted = [Request(prompt=f"alone {steps}-{index}", steps=steps) for index in range(count)]
    return statistics.median(answer.latency_s for answer in await client.one_by_one(wanted))


def _values(alone_s: float, latencies: list[float]) -> dict[str, float]:
    return {
        "alone_s": alone_s,
        "latency_s": statistics.median(latencies),
        "slowdown": statistics.median(latencies) / alone_s,
        "worst_slowdown": max(latencies) / alone_s,
    }


CELL = ServerCell(
    name="fairness",
    title="Fairness: a small request beside others' large load",
    metrics=(
        Metric(key="alone_s", title="alone s", digits=3),
        Metric(key="latency_s", title="latency s", digits=3, is_compared=True),
        Metric(key="slowdown", title="times its time alone", digits=2, is_compared=True),
        Metric(key="worst_slowdown", title="worst", digits=2),
    ),
    measure=_measure,
)
