"""What the cells without a server ask of an engine, and what it is given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from photogram.sampling import latents
from photogram.weights.locate import inspect

Velocity = NDArray[np.float32]
"""(L, C): which way a step goes."""


@dataclass(frozen=True, slots=True)
class Case:
    """One picture; the same for every engine.

    Attributes:
        model: The checkpoint folder.
        steps: Denoising steps.
    """

    model: Path
    width: int
    height: int
    steps: int
    guidance: float = 3.5
    seed: int = 1

    def grid(self) -> tuple[int, int]:
        """Rows and columns of image tokens."""
        multiple = inspect(self.model).model.size_multiple
        return self.height // multiple, self.width // multiple

    def noise(self) -> Tensor:
        """(L, C) float32: what every engine starts from."""
        channels = inspect(self.model).transformer.latent_channels
        rows, columns = self.grid()
        return latents.pack(latents.noise(self.seed, channels, 2 * rows, 2 * columns))


@dataclass(frozen=True, slots=True)
class Step:
    """An engine that is ready.

    Attributes:
        run: Computes the velocity: (L, C) float32.
        once_s: Measures what it needs once for each request besides, in seconds; 0 for most.
        is_exact: It claims to compute what diffusers does, up to rounding.
    """

    run: Callable[[], Velocity]
    once_s: Callable[[], float] = lambda: 0.0
    is_exact: bool = True


class Painter(Protocol):
    """Paints one picture at a time."""

    def denoise(self, case: Case, prompt: str) -> NDArray[np.float32]:
        """The latents after the last step: (L, C)."""

    def paint(self, case: Case, prompt: str, on_step: Callable[[], None]) -> Image.Image:
        """The picture; `on_step` is called after each step."""


def relative_error(value: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """The distance to a reference, as a share of the reference's size."""
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))
