"""Measures Photogram beside its peers: `python -m benchmarks [CELL...]`.

Every cell prints its table; the run's folder gets one JSON file with all numbers, a page of tables and
plots. `docs/benchmarks.md` says what the cells mean.
"""

import argparse
import importlib.util
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks import machine, report
from benchmarks.cells import closed_loop, fairness, memory, open_loop, overhead
from benchmarks.isolated import Order, run_isolated
from benchmarks.points import CellResult
from benchmarks.scale import FULL, QUICK, Scale
from benchmarks.servers import Setup
from benchmarks.serving import ServerCell, measure_servers

_ROOT = Path(__file__).parents[1]
_RESULTS = _ROOT / "benchmarks" / "results"
_PUBLISHED = _ROOT / "docs" / "benchmarks"
_EMBEDDED = _ROOT / "models" / "photogram-mini"

_ISOLATED = ("single", "large")
_SERVED: dict[str, ServerCell] = {
    cell.name: cell
    for cell in (  # memory first: a server is idle only once
        memory.CELL,
        overhead.CELL,
        closed_loop.CELL,
        fairness.CELL,
        open_loop.CELL,
    )
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for on the command line."""

    cells: tuple[str, ...]
    scale: Scale
    model: Path
    threads: int
    out: Path
    publish: bool
    is_peer_eager: bool


def main() -> None:
    """Run the chosen cells, print their tables and write them down."""
    options = _parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # servers are stopped on the way
    empty = report.Report(
        machine=machine.describe(),
        scale=options.scale,
        model=options.model.name,
        took_s=0,
        cells=(),
    )
    earlier = report.read(options.out)
    run = report.completed(earlier, empty) if earlier else empty
    options.out.mkdir(parents=True, exist_ok=True)
    began_at = time.monotonic()
    for cell in _measure(options):
        print(report.as_terminal(cell), flush=True)
        took_s, began_at = time.monotonic() - began_at, time.monotonic()
        more = msgspec.structs.replace(empty, cells=(cell,), took_s=took_s)
        run = report.completed(run, more)
        report.write(run, options.out, _draw(run, options.out))
    if options.publish:
        report.publish(options.out, _PUBLISHED)
    print(options.out / "result.json")


def _parse_arguments() -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0]
    )
    names = [*_ISOLATED, *_SERVED]
    parser.add_argument(
        "cells", nargs="*", metavar="CELL", help=f"{', '.join(names)}; default: all"
    )
    parser.add_argument("--quick", action="store_true", help="as little as runs every line")
    parser.add_argument(
        "--rounds", type=int, help="of the cells with servers, instead of the scale's"
    )
    parser.add_argument("--model", type=Path, default=_EMBEDDED, help="checkpoint folder")
    parser.add_argument(
        "--threads", type=int, default=0, help="of both servers; default: all cores"
    )
    parser.add_argument(
        "--eager-peer", action="store_true", help="do not compile the peer's server"
    )
    parser.add_argument("--out", type=Path, help="folder of the results, new or to complete")
    parser.add_argument("--publish", action="store_true", help=f"copy them to {_PUBLISHED.name}")
    given = parser.parse_args()
    if unknown := sorted(set(given.cells) - set(names)):
        parser.error(f"no such cell: {', '.join(unknown)}; there are {', '.join(names)}")
    scale = QUICK if given.quick else FULL
    if given.rounds:
        scale = msgspec.structs.replace(scale, rounds=given.rounds)
    return Options(
        cells=tuple(name for name in names if name in (given.cells or names)),
        scale=scale,
        model=given.model,
        threads=given.threads,
        out=given.out or _RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}",
        publish=given.publish,
        is_peer_eager=given.eager_peer,
    )


def _measure(options: Options) -> Iterator[CellResult]:
    """The chosen cells' results, as they come."""
    cache = _RESULTS / ".cache"
    cache.mkdir(parents=True, exist_ok=True)
    order = Order(model=options.model, threads=1, scale=options.scale, cache=cache)
    counts_of = {"single": options.scale.thread_counts, "large": options.scale.thread_counts[-1:]}
    for name, counts in counts_of.items():
        if name in options.cells:
            _say(name)
            yield run_isolated(name, order, counts)
    if served := [cell for name, cell in _SERVED.items() if name in options.cells]:
        setup = Setup(
            model=options.model,
            threads=options.threads,
            is_compiled=options.scale.is_compiled and not options.is_peer_eager,
            cache=cache,
        )
        yield from measure_servers(served, setup, options.scale, _say)


def _draw(run: report.Report, folder: Path) -> list[Path]:
    if importlib.util.find_spec("matplotlib") is None:
        _say("no plots: benchmarks/requirements.lock is not installed")
        return []
    from benchmarks.plots import draw

    return draw(run.cells, folder)


def _say(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
