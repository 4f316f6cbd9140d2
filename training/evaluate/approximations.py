"""`python -m training.evaluate.approximations`: what each approximation costs a picture, and what it saves.

Comes in: a checkpoint and, if there is one, a trained judge. Goes out: a table. Each row paints the same shots
one after another, in turns with the others; its pictures are held against those of the exact bfloat16. The row
float32 is the yardstick: it is what rounding alone does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name
from safetensors.torch import load_file
from torch import Tensor

from photogram.pipeline.flux import Pipeline
from training.evaluate.judge import SIDE, Judge
from training.evaluate.paint import Pixels, Shot, paint, psnr, to_tensor

REFERENCE = "bfloat16"
VARIANTS = {
    REFERENCE: ("bfloat16", 0.0),
    "float32": ("float32", 0.0),
    "int8": ("int8", 0.0),
    "nf4": ("nf4", 0.0),
    "cache 0.05": ("bfloat16", 0.05),
    "cache 0.1": ("bfloat16", 0.1),
    "cache 0.2": ("bfloat16", 0.2),
    "int8, cache 0.1": ("int8", 0.1),
}
"""Row -> precision and threshold of the step cache."""


@dataclass(slots=True)
class Row:
    """One variant, and what it did."""

    pipeline: Pipeline
    seconds: list[float] = field(default_factory=list)
    pictures: list[Pixels] = field(default_factory=list)


def main() -> None:
    """Paint, compare and print."""
    options = parse()
    torch.set_num_threads(options.threads)
    rows = {
        name: Row(Pipeline.from_pretrained(options.folder, "cpu", precision, step_cache=threshold))
        for name, (precision, threshold) in VARIANTS.items()
    }
    model = rows[REFERENCE].pipeline.model
    width, height = model.size("1:1")
    prompts = [*model.suggested_prompts, *(f"a {concept}" for concept in model.concepts)]
    shots = [
        Shot(prompt, seed, width, height, options.steps)
        for seed, prompt in enumerate(prompts[: options.shots])
    ]
    for row in rows.values():
        paint(row.pipeline, shots[:1])  # warm
    for shot in shots:
        for row in rows.values():
            began_at = time.process_time()
            row.pictures += paint(row.pipeline, [shot])
            row.seconds.append(time.process_time() - began_at)
    judge = load_judge(options.judge) if options.judge else None
    print(f"{len(shots)} pictures of {width}x{height}, {options.steps} steps, {model.name}\n")
    print(table(rows, judge))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("models/photogram-mini"))
    parser.add_argument("--judge", type=Path, help="a judge's file, as training.evaluate leaves it")
    parser.add_argument("--shots", type=int, default=48)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def table(rows: dict[str, Row], judge: Judge | None) -> str:
    """One line for each row."""
    exact = rows[REFERENCE]
    lines = [
        "| | CPU s | times as fast | PSNR, dB | SSIM | judge's features |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        pairs = list(zip(exact.pictures, row.pictures, strict=True))
        ratio = median(a / b for a, b in zip(exact.seconds, row.seconds, strict=True))
        cells = [
            name,
            f"{median(row.seconds):.3f}",
            f"{ratio:.2f}",
            f"{mean(psnr(*pair) for pair in pairs):.1f}",
            f"{mean(ssim(*map(to_tensor, pair)) for pair in pairs):.3f}",
            f"{likeness(judge, pairs):.3f}" if judge else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def ssim(a: Tensor, b: Tensor) -> float:
    """Return the structural similarity of two (3, H, W) pictures in [0, 1].

    Source: Z. Wang et al., "Image quality assessment" (2004), eq. 13, with its 11x11 Gaussian window.
    """
    line = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = torch.outer(line, line)
    kernel = (window / window.sum()).expand(3, 1, 11, 11)

    def blur(x: Tensor) -> Tensor:
        return F.conv2d(x[None], kernel, groups=3)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    cov = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    return float((top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def load_judge(path: Path) -> Judge:
    """Return the judge that `training.evaluate.teach` saved."""
    tensors = load_file(path)
    state = {k.removeprefix("judge."): t for k, t in tensors.items() if k.startswith("judge.")}
    judge = Judge(len(state["head.bias"]))
    judge.load_state_dict(state)
    return judge.eval()


@torch.no_grad()
def likeness(judge: Judge, pairs: Sequence[tuple[Pixels, Pixels]]) -> float:
    """Return the mean cosine between the features of both pictures of each pair."""
    first, second = (
        judge.features(
            torch.cat([F.interpolate(to_tensor(x)[None], (SIDE, SIDE), mode="area") for x in side])
        )
        for side in zip(*pairs, strict=True)
    )
    return float(F.cosine_similarity(first, second).mean())


if __name__ == "__main__":
    main()
