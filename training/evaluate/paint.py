"""Paint many prompts with Photogram's own pipeline, several at once on several processes.

Comes in: a checkpoint folder and `Shot`s. Goes out: pixels, in the order asked. That diffusers paints the same
is checked on a few shots by `agreement`. It knows nothing of what a picture should show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import FluxPipeline
from numpy.typing import NDArray
from torch import Tensor

from photogram.pipeline.batch import Denoising
from photogram.pipeline.flux import Pipeline

Pixels = NDArray[np.uint8]
TOKENS_AT_ONCE = 1200  # text and image tokens in one step: larger batches gain nothing
LATENTS_KEPT = 16


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to paint."""

    text: str
    seed: int
    width: int = 256
    height: int = 256
    steps: int = 25
    guidance: float = 3.5


class Studio:
    """Processes that hold the checkpoint and paint; a context, so that none outlives its use."""

    def __init__(self, folder: Path, processes: int) -> None:
        self._pool = ProcessPoolExecutor(
            processes, get_context("spawn"), initializer=_open, initargs=(folder,)
        )

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def paint(self, shots: Sequence[Shot]) -> list[Pixels]:
        """Return one (H, W, 3) picture per shot."""
        chunks = [shots[i : i + LATENTS_KEPT] for i in range(0, len(shots), LATENTS_KEPT)]
        return [picture for chunk in self._pool.map(_paint, chunks) for picture in chunk]


_opened: list[Pipeline] = []  # the one of this worker process


def _open(folder: Path) -> None:
    torch.set_num_threads(1)
    _opened.append(Pipeline.from_pretrained(folder))


def _paint(shots: Sequence[Shot]) -> list[Pixels]:
    return paint(_opened[0], shots)


def paint(pipeline: Pipeline, shots: Sequence[Shot]) -> list[Pixels]:
    """Return one (H, W, 3) picture per shot."""
    waiting = [
        pipeline.start(s.text, s.width, s.height, s.steps, s.guidance, s.seed) for s in shots
    ]
    todo = list(waiting)
    while todo:
        tokens = 0
        batch: list[Denoising] = []
        while todo and (not batch or tokens + todo[0].num_tokens <= TOKENS_AT_ONCE):
            tokens += todo[0].num_tokens
            batch.append(todo.pop(0))
        while batch:
            pipeline.step(batch)
            batch = [item for item in batch if not item.is_done]
    return [pipeline.decode(item) for item in waiting]


def agreement(folder: Path, shots: Sequence[Shot]) -> list[float]:
    """Return PSNR in dB between Photogram's and diffusers' pictures of `shots`, both in float32."""
    ours = paint(Pipeline.from_pretrained(folder, dtype=torch.float32), shots)
    pipeline = FluxPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return [
        psnr(picture, _paint_in_diffusers(pipeline, shot))
        for picture, shot in zip(ours, shots, strict=True)
    ]


@torch.inference_mode()
def _paint_in_diffusers(pipeline: FluxPipeline, shot: Shot) -> Pixels:
    image = pipeline(
        prompt=shot.text,
        width=shot.width,
        height=shot.height,
        num_inference_steps=shot.steps,
        guidance_scale=shot.guidance,
        max_sequence_length=pipeline.tokenizer_2.model_max_length,
        generator=torch.Generator().manual_seed(shot.seed),
    ).images[0]
    return np.asarray(image)


def psnr(a: Pixels, b: Pixels) -> float:
    """At most 60 dB: pictures that agree to the last bit have no finite figure."""
    error = float(np.square(a.astype(np.float64) - b).mean()) / 255**2
    return min(60.0, -10 * math.log10(max(error, 1e-9)))


def to_tensor(picture: Pixels) -> Tensor:
    """Return (3, H, W) in [0, 1]."""
    return torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)
