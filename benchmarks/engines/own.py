"""Photogram's own pipeline, without its server."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.engines.interface import Case
from photogram import Pipeline


class Photogram:
    """Paints one picture at a time."""

    def __init__(self, model: Path, dtype: torch.dtype | None) -> None:
        self._pipeline = Pipeline.from_pretrained(model, "cpu", dtype)

    def denoise(self, case: Case, prompt: str) -> NDArray[np.float32]:
        state = self._pipeline.start(
            prompt, case.width, case.height, case.steps, case.guidance, case.seed
        )
        while not state.is_done:
            self._pipeline.step([state])
        return state.img.numpy()

    def paint(self, case: Case, prompt: str, on_step: Callable[[], None]) -> Image.Image:
        return self._pipeline.generate(
            prompt,
            case.steps,
            case.guidance,
            case.seed,
            case.width,
            case.height,
            on_step=lambda _done: on_step(),
        )
