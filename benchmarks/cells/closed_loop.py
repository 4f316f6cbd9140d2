"""Closed loop: 1 to 16 clients, each with one request under way; sizes, steps and guidance mixed.

Every level has the same requests for both servers; half of the prompts of one more level repeat.
"""

import math
import time

from benchmarks.client import Answer, Client
from benchmarks.figures import percentile
from benchmarks.points import Metric, Point
from benchmarks.quiet import OthersWatch
from benchmarks.serving import ServerCell, Visit
from benchmarks.traffic import requests

_CLIENTS_OF_REPEATED = 8
_SHARE_REPEATED = 0.5
_REQUESTS_PER_CLIENT = 2
_SEEDS_PER_ROUND = 100


async def _measure(visit: Visit) -> list[Point]:
    levels = [(clients, 0.0) for clients in visit.scale.closed_clients]
    repeated = min(_CLIENTS_OF_REPEATED, max(visit.scale.closed_clients))
    levels.append((repeated, _SHARE_REPEATED))
    async with Client(visit.site) as client:
        return [await _level(visit, client, *level) for level in levels]


async def _level(visit: Visit, client: Client, num_clients: int, share_repeated: float) -> Point:
    count = visit.scale.closed_requests + _REQUESTS_PER_CLIENT * num_clients
    seed = _SEEDS_PER_ROUND * visit.round + num_clients
    wanted = requests("uniform", count, seed, share_repeated)
    others, started_at = OthersWatch(), time.perf_counter()
    answers = await client.closed_loop(wanted, num_clients)
    makespan_s = time.perf_counter() - started_at
    prompts = "half the prompts repeated" if share_repeated else "all-new prompts"
    return visit.point(
        f"{num_clients} clients, {prompts}",
        others,
        {"pictures_per_s": count_answered(answers) / makespan_s} | latency_values(answers),
        {"latency_s": [answer.latency_s for answer in answers]},
    )


def count_answered(answers: list[Answer]) -> int:
    """Requests that got their picture."""
    return sum(math.isfinite(answer.latency_s) for answer in answers)


def latency_values(answers: list[Answer]) -> dict[str, float]:
    """Percentiles of the latencies, and how many requests have no picture."""
    latencies = [answer.latency_s for answer in answers]
    return {
        "p50_s": percentile(latencies, 0.5),
        "p95_s": percentile(latencies, 0.95),
        "p99_s": percentile(latencies, 0.99),
        "failed": float(len(answers) - count_answered(answers)),
    }


LATENCY_METRICS = (
    Metric(key="p50_s", title="p50 s", digits=3, is_compared=True),
    Metric(key="p95_s", title="p95 s", digits=3, is_compared=True),
    Metric(key="p99_s", title="p99 s", digits=3),
    Metric(key="failed", title="failed", digits=0),
)

CELL = ServerCell(
    name="closed",
    title="Closed loop over HTTP: clients that wait for their picture",
    metrics=(
        Metric(key="pictures_per_s", title="pictures/s", digits=2, is_rate=True, is_compared=True),
        *LATENCY_METRICS,
    ),
    measure=_measure,
)
