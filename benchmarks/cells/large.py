"""One denoising step of a random 70 M checkpoint, by every engine that is installed.

The checkpoint is written by diffusers (`benchmarks.large_checkpoint`). What is timed is the
transformer alone. What Photogram does once for each request instead (the modulation of all steps) is
spread over the steps of a request in a column of its own. Nothing is timed unless the velocities
pass `benchmarks.gates`.
"""

import math

from benchmarks import gates
from benchmarks.engines.interface import Case, Step, relative_error
from benchmarks.engines.steps import make_steps
from benchmarks.gates import REFERENCE
from benchmarks.isolated import Order, serve_order
from benchmarks.large_checkpoint import write_large_checkpoint
from benchmarks.points import CellResult, Metric, Point
from benchmarks.quiet import CpuWatch
from benchmarks.turns import Measure, take_turns
from photogram.weights.locate import inspect

_NUM_WARM_UPS = 2
_MS_PER_S = 1000
_STEPS = 25
_TEXT_TOKENS_OF_LARGE = 256
_TEXT_TOKENS_OF_SMALL = 128
_SMALL_IMAGE_TOKENS = 256

_METRICS = (
    Metric(key="step_ms", title="step ms", digits=1, is_compared=True),
    Metric(key="cpu_ms", title="CPU ms", digits=1, is_compared=True),
    Metric(key="whole_step_ms", title=f"ms with 1/{_STEPS} of start", digits=1, is_compared=True),
)


def _measure(order: Order) -> CellResult:
    points: list[Point] = []
    remarks: list[str] = []
    for image_tokens in order.scale.large_image_tokens:
        more_points, more_remarks = _size(order, image_tokens)
        points += more_points
        remarks += more_remarks
    return CellResult(
        name="large",
        title="A denoising step of a random 70 M checkpoint",
        metrics=_METRICS,
        points=tuple(points),
        remarks=tuple(remarks),
    )


def _size(order: Order, image_tokens: int) -> tuple[list[Point], list[str]]:
    """All engines at one size: their points, and remarks."""
    case, condition = _case(order, image_tokens)
    steps, remarks = make_steps(case, with_compilers=order.scale.is_compiled, threads=order.threads)
    velocities = {name: step.run() for name, step in steps.items()}
    errors = {
        name: relative_error(velocity, velocities[REFERENCE])
        for name, velocity in velocities.items()
    }
    remarks.append(gates.told(condition, errors))
    if problem := gates.problem(errors):
        return [], [*remarks, problem]
    for step in steps.values():
        for _ in range(_NUM_WARM_UPS):
            step.run()
    measures = {name: _timer(step) for name, step in steps.items()}
    return take_turns(measures, condition, order.scale.single_rounds), remarks


def _case(order: Order, image_tokens: int) -> tuple[Case, str]:
    """What is painted, and its words."""
    is_small = image_tokens <= _SMALL_IMAGE_TOKENS
    text_tokens = _TEXT_TOKENS_OF_SMALL if is_small else _TEXT_TOKENS_OF_LARGE
    folder = order.cache / f"random-70m-{order.model.name}-{text_tokens}"
    model = write_large_checkpoint(folder, order.model, text_tokens)
    side = math.isqrt(image_tokens) * inspect(model).model.size_multiple
    condition = f"{image_tokens} image and {text_tokens} text tokens, {order.threads} threads"
    return Case(model=model, width=side, height=side, steps=_STEPS), condition


def _timer(step: Step) -> Measure:
    def measure(_index: int) -> dict[str, float]:
        with CpuWatch() as watch:
            step.run()
        once_s = step.once_s()
        return {
            "step_ms": _MS_PER_S * watch.wall_s,
            "cpu_ms": _MS_PER_S * watch.cpu_s,
            "whole_step_ms": _MS_PER_S * (watch.wall_s + once_s / _STEPS),
        }

    return measure


if __name__ == "__main__":
    serve_order(_measure)
