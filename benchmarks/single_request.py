"""One request at a time: Photogram's pipeline beside diffusers' FluxPipeline on the same weights.

Both paint the same prompt with the same seed and steps, text encoding and decoding included, from
the same process with the same threads. Engines take turns in each round, in alternating order, and
what is reported is the ratio within a round (median, minimum and maximum): the machine may be
noisy, its noise hits both. Photogram's prompt cache is bypassed by a new prompt in each round.

Run: python -m benchmarks.single_request [--steps 25] [--rounds 9]; the last line is one JSON object.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import FluxPipeline

from photogram import Pipeline

Paint = Callable[[str], object]


def main() -> None:
    """Time all engines and print a table, then one JSON object."""
    arguments = _parse_arguments()
    torch.set_num_threads(arguments.threads)
    engines = _engines(arguments)
    for paint in engines.values():
        for index in range(2):
            paint(f"a warm-up, number {index}")
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for index in range(arguments.rounds):
        order = list(engines) if index % 2 else list(reversed(engines))
        for name in order:
            started = time.perf_counter()
            engines[name](f"a red apple, number {index}")
            seconds[name].append(time.perf_counter() - started)
    _report(seconds, arguments)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    embedded = Path(__file__).parents[1] / "models" / "photogram-mini"
    parser.add_argument("--model", type=Path, default=embedded)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def _engines(arguments: argparse.Namespace) -> dict[str, Paint]:
    ours = {
        name: Pipeline.from_pretrained(arguments.model, device="cpu", dtype=dtype)
        for name, dtype in (("photogram", None), ("photogram fp32", torch.float32))
    }
    width, height = ours["photogram"].model.size("1:1")
    num_text_tokens = ours["photogram"].model.max_text_tokens

    def with_photogram(pipeline: Pipeline) -> Paint:
        return lambda prompt: pipeline.generate(
            prompt, steps=arguments.steps, seed=1, width=width, height=height
        )

    def with_diffusers(dtype: torch.dtype) -> Paint:
        pipeline = FluxPipeline.from_pretrained(arguments.model, torch_dtype=dtype)
        pipeline.set_progress_bar_config(disable=True)
        return lambda prompt: pipeline(
            prompt,
            num_inference_steps=arguments.steps,
            width=width,
            height=height,
            max_sequence_length=num_text_tokens,
            generator=torch.Generator("cpu").manual_seed(1),
        )

    return {name: with_photogram(pipeline) for name, pipeline in ours.items()} | {
        "diffusers bf16": with_diffusers(torch.bfloat16),
        "diffusers fp32": with_diffusers(torch.float32),
    }


def _report(seconds: dict[str, list[float]], arguments: argparse.Namespace) -> None:
    print(f"{arguments.steps} steps, {arguments.rounds} rounds, {arguments.threads} threads")
    print(f"{'engine':<16} {'median s':>9} {'min s':>7} {'ours is x times as fast':>32}")
    results = {}
    for name, values in seconds.items():
        ratios = [theirs / own for theirs, own in zip(values, seconds["photogram"], strict=True)]
        results[name] = {
            "median_s": statistics.median(values),
            "min_s": min(values),
            "ratio_median": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }
        print(
            f"{name:<16} {statistics.median(values):>9.3f} {min(values):>7.3f} "
            f"{statistics.median(ratios):>12.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    print(json.dumps({"steps": arguments.steps, "threads": arguments.threads, "engines": results}))


if __name__ == "__main__":
    main()
