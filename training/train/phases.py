"""The phases of a training: canvases, text lengths, batch sizes and rates, as data.

Phases are run one after another on the same checkpoint: words and things at 128 px (16 image tokens), then
256 px and every shape that the profile offers, then guidance distillation.
"""

from __future__ import annotations

from dataclasses import dataclass

SQUARE = (256, 256)
NATIVE = (
    (288, 224), (224, 288), (288, 192), (192, 288), (352, 192), (192, 352), (384, 160), (160, 384),
)  # fmt: skip
HALF = ((128, 128), (128, 96), (96, 128), (192, 96), (96, 192), (192, 64), (64, 192))


@dataclass(frozen=True, slots=True)
class Canvas:
    """A size in pixels and how often it comes."""

    width: int
    height: int
    weight: float
    spread: int = 1  # see flow.image_ids


@dataclass(frozen=True, slots=True)
class Phase:
    """What one phase does.

    Attributes:
        text_lengths: T5 tokens and how often a batch is padded to them.
        tokens: Image tokens in a batch; small canvases come in larger batches.
        sigma_shift: Towards noise, above 1.
        hold: Share of the time after which the rate falls.
    """

    name: str
    canvases: tuple[Canvas, ...]
    text_lengths: tuple[tuple[int, float], ...]
    tokens: int
    muon_rate: float
    adam_rate: float
    sigma_shift: float
    distill: bool = False
    hold: float = 0.5

    def batch_size(self, canvas: Canvas, scale: float) -> int:
        """Return how many samples of `canvas` make a batch `scale` times as large as on a CPU."""
        return round(scale * self.tokens / (canvas.width * canvas.height / 32**2 + 32))


def _mix(square: float, native: float, half: float) -> tuple[Canvas, ...]:
    """Return all canvases; the shares of native and half sizes are spread evenly."""
    rest = [Canvas(w, h, native / len(NATIVE)) for w, h in NATIVE]
    small = [Canvas(w, h, half / (len(HALF) + 1) * (1 + (w == h))) for w, h in HALF]
    return (Canvas(*SQUARE, square), *rest, *small)


PHASES: dict[str, Phase] = {
    "small": Phase(
        "small", (Canvas(128, 128, 0.7, spread=2), Canvas(128, 128, 0.3)),
        ((20, 1.0),), 3840, 1.5e-3, 7e-4, 1.5, hold=0.7,
    ),
    "large": Phase(
        "large", _mix(0.52, 0.32, 0.16), ((24, 0.8), (40, 0.1), (64, 0.1)), 3840, 1.2e-3, 6e-4, 2.0,
    ),
    "distill": Phase(
        "distill", _mix(0.52, 0.32, 0.16), ((24, 0.6), (64, 0.4)), 3072, 4e-4, 2e-4, 2.0, distill=True,
        hold=0.3,
    ),
}  # fmt: skip
