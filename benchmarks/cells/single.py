"""One request at a time, without a server: Photogram's pipeline beside diffusers' on the same weights.

Every engine paints the same prompts from the same noise, text encoding and decoding included; each
round has a new prompt, so that no prompt cache helps. Nothing is timed unless the final latents pass
`benchmarks.gates`.
"""

import itertools
import statistics
import time
from collections.abc import Mapping

import torch

from benchmarks import gates
from benchmarks.engines.interface import Case, Painter, relative_error
from benchmarks.engines.own import Photogram
from benchmarks.engines.peer import Diffusers
from benchmarks.gates import OURS_FLOAT32, PEER, REFERENCE
from benchmarks.isolated import Order, serve_order
from benchmarks.points import OURS, CellResult, Metric, Point
from benchmarks.quiet import CpuWatch
from benchmarks.turns import Measure, take_turns
from photogram.weights.locate import inspect

_NUM_WARM_UPS = 3
_MS_PER_S = 1000
_COMPARED_PROMPT = "a red apple"

_METRICS = (
    Metric(key="step_ms", title="step ms", digits=2, is_compared=True),
    Metric(key="request_s", title="request s", digits=3, is_compared=True),
    Metric(key="cpu_s", title="CPU s", digits=3, is_compared=True),
)


def _measure(order: Order) -> CellResult:
    width, height = inspect(order.model).model.size("1:1")
    case = Case(model=order.model, width=width, height=height, steps=order.scale.steps)
    engines = _engines(order)
    condition = f"{order.scale.steps} steps, {width}x{height}, {order.threads} threads"
    errors = _errors(engines, case)
    remarks = [gates.told(condition, errors)]
    if problem := gates.problem(errors):
        return _result([], [*remarks, problem])
    for engine in engines.values():
        for index in range(_NUM_WARM_UPS):
            engine.paint(case, f"a warm-up, number {index}", lambda: None)
    measures = {name: _timer(engine, case) for name, engine in engines.items()}
    points = take_turns(measures, condition, order.scale.single_rounds)
    return _result(points, remarks)


def _result(points: list[Point], remarks: list[str]) -> CellResult:
    return CellResult(
        name="single",
        title="One request at a time, without a server",
        metrics=_METRICS,
        points=tuple(points),
        remarks=tuple(remarks),
    )


def _engines(order: Order) -> dict[str, Painter]:
    engines: dict[str, Painter] = {
        OURS: Photogram(order.model, torch.bfloat16),
        OURS_FLOAT32: Photogram(order.model, torch.float32),
        PEER: Diffusers(order.model, torch.bfloat16, is_compiled=False),
        REFERENCE: Diffusers(order.model, torch.float32, is_compiled=False),
    }
    if order.scale.is_compiled:
        for name, dtype in ((PEER, torch.bfloat16), (REFERENCE, torch.float32)):
            engines[f"{name} compiled"] = Diffusers(order.model, dtype, is_compiled=True)
    return engines


def _errors(engines: Mapping[str, Painter], case: Case) -> dict[str, float]:
    """Each engine's final latents against diffusers' in float32, as relative errors."""
    latents = {name: engine.denoise(case, _COMPARED_PROMPT) for name, engine in engines.items()}
    return {name: relative_error(value, latents[REFERENCE]) for name, value in latents.items()}


def _timer(engine: Painter, case: Case) -> Measure:
    def measure(index: int) -> dict[str, float]:
        instants: list[float] = []
        with CpuWatch() as watch:
            engine.paint(
                case, f"a red apple, number {index}", lambda: instants.append(time.perf_counter())
            )
        steps_s = [later - earlier for earlier, later in itertools.pairwise(instants)]
        return {
            "step_ms": _MS_PER_S * statistics.median(steps_s),
            "request_s": watch.wall_s,
            "cpu_s": watch.cpu_s,
        }

    return measure


if __name__ == "__main__":
    serve_order(_measure)
