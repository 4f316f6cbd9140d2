"""Measures the cells that need servers: both, in turns, each in fresh processes with all the CPU.

A server that is started serves all chosen cells of a round, one after another. The peer is first in
even rounds, Photogram in odd ones; the very first is the peer, whose capacity sets the rates of the
open loop.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from benchmarks.points import OURS, CellResult, Metric, Point
from benchmarks.quiet import CpuWatch, OthersWatch
from benchmarks.scale import Scale
from benchmarks.servers import PEER, Setup, Site, running

_CLIENT_CORES = "client_cores"


@dataclass(frozen=True, slots=True)
class Visit:
    """What a cell has when it measures.

    Attributes:
        site: The server that runs.
        round: From 0.
        earlier: All points of this cell so far.
    """

    site: Site
    scale: Scale
    round: int
    earlier: Sequence[Point]

    def point(
        self,
        condition: str,
        others: OthersWatch,
        values: dict[str, float],
        raw: dict[str, list[float]] | None = None,
    ) -> Point:
        """A point of this server and round; what others used counts until now.

        A value that is not finite, which a request without a picture makes, is left out.
        """
        return Point(
            engine=self.site.name,
            condition=condition,
            round=self.round,
            others_cores=others.cores(),
            values={key: value for key, value in values.items() if math.isfinite(value)},
            raw={key: list(filter(math.isfinite, found)) for key, found in (raw or {}).items()},
        )


@dataclass(frozen=True, slots=True)
class ServerCell:
    """One cell that measures servers."""

    name: str
    title: str
    metrics: tuple[Metric, ...]
    measure: Callable[[Visit], Awaitable[list[Point]]]


def measure_servers(
    cells: Sequence[ServerCell], setup: Setup, scale: Scale, say: Callable[[str], None]
) -> Iterator[CellResult]:
    """Every cell on both servers; after each round, what all rounds so far have found.

    Args:
        cells: In the order in which each server sees them.
        setup: What the servers are given.
        scale: How much is measured.
        say: Takes a line about what is done now.
    """
    points: dict[str, list[Point]] = {cell.name: [] for cell in cells}
    for index in range(scale.rounds):
        for name in (PEER, OURS) if index % 2 == 0 else (OURS, PEER):
            say(f"round {index + 1} of {scale.rounds}: starting the {name}")
            with running(name, setup) as site:
                for cell in cells:
                    say(f"  {cell.name}")
                    found = points[cell.name]
                    found += asyncio.run(_measure(cell, Visit(site, scale, index, tuple(found))))
        yield from (_result(cell, points[cell.name]) for cell in cells)


def _result(cell: ServerCell, points: Sequence[Point]) -> CellResult:
    most = max(point.values[_CLIENT_CORES] for point in points)
    return CellResult(
        name=cell.name,
        title=cell.title,
        metrics=cell.metrics,
        points=tuple(points),
        remarks=(f"The client took at most {most:.2f} of the cores that the servers ran on.",),
    )


async def _measure(cell: ServerCell, visit: Visit) -> list[Point]:
    """A cell's points, each with what the client itself cost."""
    with CpuWatch() as client:
        found = await cell.measure(visit)
    cores = {_CLIENT_CORES: client.cpu_s / client.wall_s}
    return [msgspec.structs.replace(point, values=point.values | cores) for point in found]
