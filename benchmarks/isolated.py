"""Runs the cells without a server, each number of threads in a fresh process.

The process of such a cell gets an `Order` on its command line and prints its `CellResult` as its last
line; `serve_order` is its whole main program. This process never imports torch.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks.points import CellResult
from benchmarks.scale import Scale


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a process measures.

    Attributes:
        threads: CPU threads.
        cache: Where compiled code and made checkpoints are kept between runs.
    """

    model: Path
    threads: int
    scale: Scale
    cache: Path


def run_isolated(name: str, order: Order, thread_counts: Sequence[int]) -> CellResult:
    """Run a cell in one process for each number of threads.

    Raises:
        CalledProcessError: It failed; it has said why.
    """
    results = [
        _run(name, msgspec.structs.replace(order, threads=threads)) for threads in thread_counts
    ]
    return msgspec.structs.replace(
        results[0],
        points=tuple(point for result in results for point in result.points),
        remarks=tuple(dict.fromkeys(remark for result in results for remark in result.remarks)),
    )


def _run(name: str, order: Order) -> CellResult:
    env = {
        "OMP_NUM_THREADS": str(order.threads),
        "TORCHINDUCTOR_CACHE_DIR": str(order.cache / "inductor"),
    }
    done = subprocess.run(  # noqa: S603 our own module
        [
            sys.executable,
            "-m",
            f"benchmarks.cells.{name}",
            msgspec.json.encode(order, enc_hook=str).decode(),
        ],
        stdout=subprocess.PIPE,
        env=os.environ | env,
        check=True,
    )
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=CellResult)


def _as_path(kind: type, value: str) -> object:
    """Paths are the only type of an order that JSON lacks."""
    return kind(value)


def serve_order(measure: Callable[[Order], CellResult]) -> None:
    """The main program of a cell's module."""
    import torch

    order = msgspec.json.decode(sys.argv[1], type=Order, dec_hook=_as_path)
    torch.set_num_threads(order.threads)
    print(msgspec.json.encode(measure(order)).decode())
