"""What `photogram doctor` says of memory: the plans, and what the plan of this machine really takes.

In: settings. Out: lines for people. Measuring loads the model into this process.
"""

import time
from itertools import pairwise
from typing import TYPE_CHECKING

from photogram.core.errors import EngineFailedError, PhotogramError
from photogram.core.settings import Settings

if TYPE_CHECKING:
    from photogram.weights.packing import Precision
    from photogram.weights.sizes import Shapes

_DEVICES_GIB = (16, 24, 48, 80)
_PRECISIONS: "tuple[Precision, ...]" = ("bfloat16", "float8_e4m3fn", "int8", "nf4")
_MEASURED_STEPS = 2  # the first may compile


def plan_here(settings: Settings) -> str:
    """The plan of the model on this machine.

    Raises:
        PhotogramError: There is no such model or device, or too little memory.
    """
    from photogram.bootstrap.models import model_folder
    from photogram.pipeline.device import choose_device, choose_precision, plan_for
    from photogram.weights.locate import inspect

    device = choose_device(settings.device)
    precision = choose_precision(device, settings.dtype)
    plan = plan_for(inspect(model_folder(settings)), device, precision, settings.memory)
    return f"{precision} on {device}: {plan}"


def measured_here(settings: Settings) -> str:
    """What loading, a step and a decode of the largest picture take, beside what was planned.

    Raises:
        PhotogramError: As `plan_here`, or the model cannot be loaded.
    """
    import torch

    from photogram.cli.generate import load_pipeline
    from photogram.pipeline.device import peak_of
    from photogram.weights.plan import GIB

    times = [time.perf_counter()]
    pipeline = load_pipeline(settings)
    times.append(time.perf_counter())
    width, height = max(pipeline.model.aspect_ratios.values(), key=lambda size: size[0] * size[1])
    try:
        picture = pipeline.start("a red apple", width, height, _MEASURED_STEPS, 3.5, seed=0)
        for _ in range(_MEASURED_STEPS):
            times[2:] = [time.perf_counter()]
            pipeline.step([picture])
            if pipeline.device.type == "cuda":
                torch.cuda.synchronize(pipeline.device)
        times.append(time.perf_counter())
        pipeline.decode(picture)
    except RuntimeError as error:  # the memory was full, say
        raise EngineFailedError(f"the model is loaded, but cannot paint here: {error}") from None
    times.append(time.perf_counter())
    peak, planned = peak_of(pipeline.device) / GIB, pipeline.plan.peak_bytes / GIB
    load_s, _, step_s, decode_s = (end - begin for begin, end in pairwise(times))
    return (
        f"{peak:.2f} GiB at most, {planned:.2f} planned; loaded in {load_s:.1f} s; at {width}x{height} "
        f"a step takes {step_s:.2f} s, decoding {decode_s:.2f} s"
    )


def print_plans(settings: Settings) -> None:
    """What of the model, and of FLUX.1 [dev], would stay on GPUs of several sizes."""
    from photogram.bootstrap.models import model_folder
    from photogram.weights.locate import inspect
    from photogram.weights.sizes import FLUX_DEV, shapes_of

    models = {"FLUX.1 [dev] at 1024x1024": FLUX_DEV}
    try:
        checkpoint = inspect(model_folder(settings))
    except PhotogramError:
        pass  # the checks have told
    else:
        models = {checkpoint.model.name: shapes_of(checkpoint), **models}
    for name, shapes in models.items():
        print(f"plan  {name} on a GPU of")
        for gib in _DEVICES_GIB:
            for precision in _PRECISIONS:
                print(f"      {gib} GiB, {precision:<13}  {_plan(shapes, precision, gib)}")


def _plan(shapes: "Shapes", precision: "Precision", device_gib: int) -> str:
    from photogram.weights.plan import GIB, choose_plan, least_plan

    plan = choose_plan(shapes, precision, device_gib * GIB)
    if plan is None:
        least = least_plan(shapes, precision)
        return f"does not fit: it needs {least.peak_bytes / GIB:.1f} GiB"
    return str(plan)
