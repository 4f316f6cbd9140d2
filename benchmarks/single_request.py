"""One request at a time: Photogram's pipeline beside diffusers' FluxPipeline on the same weights.

Both paint the same prompt with the same seed and steps, text encoding and decoding included, in one
process with the same threads. First the pictures are compared, and nothing is timed unless they
agree: in float32 to 1/255, in bfloat16 Photogram's must be no further from float32 than diffusers'.
Then the engines take turns in each round, in alternating order; what is reported is the ratio within
a round (median, minimum, maximum), of wall time and of the process's CPU time: the machine may be
noisy, but its noise hits both. Each round has a new prompt, so that no prompt cache helps.

Run: python -m benchmarks.single_request [--steps 25] [--rounds 9]; the last line is one JSON object.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import FluxPipeline
from PIL import Image

from photogram import Pipeline

Paint = Callable[[str], Image.Image]

OURS = "photogram"
NUM_WARM_UPS = 3


class Timing(NamedTuple):
    """Seconds of one picture."""

    wall_s: float
    cpu_s: float


def main() -> None:
    """Check the pictures, time all engines, print a table, then one JSON object."""
    arguments = _parse_arguments()
    torch.set_num_threads(arguments.threads)
    engines = _engines(arguments)
    errors = _compare(engines)
    for paint in engines.values():
        for index in range(NUM_WARM_UPS):
            paint(f"a warm-up, number {index}")
    timings: dict[str, list[Timing]] = {name: [] for name in engines}
    for index in range(arguments.rounds):
        for name in list(engines) if index % 2 else list(reversed(engines)):
            timings[name].append(_time(engines[name], f"a red apple, number {index}"))
    _report(timings, errors, arguments)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    embedded = Path(__file__).parents[1] / "models" / "photogram-mini"
    parser.add_argument("--model", type=Path, default=embedded)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def _engines(arguments: argparse.Namespace) -> dict[str, Paint]:
    ours = {
        OURS: Pipeline.from_pretrained(arguments.model, device="cpu"),
        f"{OURS} fp32": Pipeline.from_pretrained(arguments.model, "cpu", torch.float32),
    }
    model = ours[OURS].model
    width, height = model.size("1:1")

    def with_photogram(pipeline: Pipeline) -> Paint:
        return lambda prompt: pipeline.generate(prompt, arguments.steps, seed=1)

    def with_diffusers(dtype: torch.dtype) -> Paint:
        pipeline = FluxPipeline.from_pretrained(arguments.model, torch_dtype=dtype)
        pipeline.set_progress_bar_config(disable=True)
        return lambda prompt: pipeline(
            prompt,
            num_inference_steps=arguments.steps,
            width=width,
            height=height,
            max_sequence_length=model.max_text_tokens,
            generator=torch.Generator("cpu").manual_seed(1),
        ).images[0]

    return {name: with_photogram(pipeline) for name, pipeline in ours.items()} | {
        "diffusers bf16": with_diffusers(torch.bfloat16),
        "diffusers fp32": with_diffusers(torch.float32),
    }


def _compare(engines: dict[str, Paint]) -> dict[str, float]:
    """Each engine's root mean square distance to diffusers' float32 picture, in 1/255.

    Exits where Photogram is further away than it may be.
    """
    pictures = {
        name: np.asarray(paint("a red apple"), dtype=np.int16) for name, paint in engines.items()
    }
    reference = pictures["diffusers fp32"]
    errors = {
        name: float(np.sqrt(np.mean(np.square(picture - reference))))
        for name, picture in pictures.items()
    }
    largest = int(np.abs(pictures[f"{OURS} fp32"] - reference).max())
    if largest > 1 or errors[OURS] > errors["diffusers bf16"]:
        sys.exit(f"the pictures differ too much to be timed: fp32 by {largest}/255, rms {errors}")
    return errors


def _time(paint: Paint, prompt: str) -> Timing:
    wall, cpu = time.perf_counter(), time.process_time()
    paint(prompt)
    return Timing(time.perf_counter() - wall, time.process_time() - cpu)


def _report(
    timings: dict[str, list[Timing]], errors: dict[str, float], arguments: argparse.Namespace
) -> None:
    print(f"{arguments.steps} steps, {arguments.rounds} rounds, {arguments.threads} threads")
    print(f"{'engine':<16}{'wall s':>8}{'cpu s':>8}   {OURS} is x times as fast: wall, cpu")
    results = {}
    for name, rows in timings.items():
        pairs = list(zip(rows, timings[OURS], strict=True))
        wall = [theirs.wall_s / own.wall_s for theirs, own in pairs]
        cpu = [theirs.cpu_s / own.cpu_s for theirs, own in pairs]
        results[name] = {
            "wall_s": statistics.median(row.wall_s for row in rows),
            "cpu_s": statistics.median(row.cpu_s for row in rows),
            "wall_ratio": [min(wall), statistics.median(wall), max(wall)],
            "cpu_ratio": [min(cpu), statistics.median(cpu), max(cpu)],
            "rms_error_255": errors[name],
        }
        print(
            f"{name:<16}{results[name]['wall_s']:>8.3f}{results[name]['cpu_s']:>8.3f}   "
            f"{statistics.median(wall):.2f} ({min(wall):.2f} to {max(wall):.2f}), "
            f"{statistics.median(cpu):.2f} ({min(cpu):.2f} to {max(cpu):.2f})"
        )
    print(json.dumps({"steps": arguments.steps, "threads": arguments.threads, "engines": results}))


if __name__ == "__main__":
    main()
