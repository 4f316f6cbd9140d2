"""Resident memory of a server and its workers: before its first request, and under eight clients."""

import asyncio
import contextlib

from benchmarks.client import Client
from benchmarks.points import Metric, Point
from benchmarks.quiet import OthersWatch
from benchmarks.servers import memory_mib
from benchmarks.serving import ServerCell, Visit
from benchmarks.traffic import requests

_NUM_CLIENTS = 8
_LOOK_EVERY_S = 0.1
_SEED = 10_000


async def _measure(visit: Visit) -> list[Point]:
    others = OthersWatch()
    idle = visit.point("idle", others, {"memory_mib": memory_mib(visit.site.pid)})
    seen: list[float] = []
    watcher = asyncio.create_task(_watch(visit.site.pid, seen))
    async with Client(visit.site) as client:
        wanted = requests("uniform", visit.scale.memory_requests, _SEED + visit.round)
        await client.closed_loop(wanted, _NUM_CLIENTS)
    watcher.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watcher
    busy = visit.point(f"{_NUM_CLIENTS} clients, most", others, {"memory_mib": max(seen)})
    return [idle, busy]


async def _watch(pid: int, seen: list[float]) -> None:
    while True:
        seen.append(memory_mib(pid))
        await asyncio.sleep(_LOOK_EVERY_S)


CELL = ServerCell(
    name="memory",
    title="Resident memory of the server and its workers",
    metrics=(Metric(key="memory_mib", title="MiB", digits=0, is_compared=True),),
    measure=_measure,
)
