"""Read drawn pictures and lay them on a background.

Comes in: the folder that `python -m training.data` wrote. Goes out: RGB floats in [0, 1] on a coloured
canvas, and the table of which set shows which concept. It knows nothing of captions or networks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import safe_open

from training.data.sources import SOURCES

CONCEPTS_PATH = Path(__file__).with_name("concepts.json")
MORE_CONCEPTS_PATH = Path(__file__).with_name("more_concepts.json")  # for runs that afford them


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing that the model is taught.

    Attributes:
        name: What it is called in prompts and lists.
        emoji: Finds its pictures.
        synonyms: Other words for it.
        plural: For pictures of two to four; None where they are not painted.
        takes_colour: Whether it may be painted in a colour other than its own.
    """

    name: str
    emoji: str
    synonyms: tuple[str, ...]
    plural: str | None
    takes_colour: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """One drawn picture: its set, its row in that set, its emoji."""

    source: str
    row: int
    emoji: str


def load_concepts(count: int) -> list[Concept]:
    """Return the first `count` concepts; the files are ordered by how often people ask for them."""
    rows = json.loads(CONCEPTS_PATH.read_text(encoding="utf-8"))
    if count > len(rows):
        rows += json.loads(MORE_CONCEPTS_PATH.read_text(encoding="utf-8"))
    return [Concept(**row | {"synonyms": tuple(row["synonyms"])}) for row in rows[:count]]


def plain(emoji: str) -> str:
    """Return `emoji` without variation selectors, so that tables of different age agree."""
    return emoji.replace("\ufe0f", "")


class PictureStore:
    """All drawn pictures, memory-mapped; a picture is read when asked for."""

    def __init__(self, folder: Path) -> None:
        self.slices = {}
        self.pictures: list[Picture] = []
        for source in SOURCES:
            rows = json.loads((folder / f"{source.key}.json").read_text(encoding="utf-8"))
            handle = safe_open(folder / f"{source.key}.safetensors", framework="np")
            self.slices[source.key] = handle.get_slice("rgba")
            self.pictures += [Picture(source.key, i, plain(r["emoji"])) for i, r in enumerate(rows)]

    def of_concept(self, concept: Concept) -> list[Picture]:
        """Return every set's picture of `concept`."""
        return [p for p in self.pictures if p.emoji == plain(concept.emoji)]

    def rgba(self, picture: Picture) -> np.ndarray:
        """Return the picture as (256, 256, 4) uint8."""
        return np.asarray(self.slices[picture.source][picture.row : picture.row + 1])[0]


def place(rgba: np.ndarray, width: int = 256, height: int = 256) -> np.ndarray:
    """Put `rgba` in the middle of an empty canvas, as large as fits.

    Args:
        rgba: (S, S, 4) uint8, not premultiplied.
        width: of the canvas, pixels.
        height: of the canvas, pixels.

    Returns:
        (height, width, 4) float32 in [0, 1], colours premultiplied: resizing would bleed hidden ones.
    """
    side = min(width, height)
    values = rgba.astype(np.float32) / 255
    values[..., :3] *= values[..., 3:]
    if side != rgba.shape[0]:
        kind = Image.Resampling.BOX if side < rgba.shape[0] else Image.Resampling.BICUBIC
        planes = [Image.fromarray(values[..., c]).resize((side, side), kind) for c in range(4)]
        values = np.stack([np.asarray(plane) for plane in planes], axis=-1).clip(0, 1)
    if (width, height) == (side, side):
        return values
    canvas = np.zeros((height, width, 4), np.float32)
    top, left = (height - side) // 2, (width - side) // 2
    canvas[top : top + side, left : left + side] = values
    return canvas


def compose(
    rgba: np.ndarray, colour: tuple[float, float, float], width: int = 256, height: int = 256
) -> np.ndarray:
    """Lay `rgba`, (S, S, 4) uint8, on a canvas of `colour`; return (height, width, 3) in [0, 1]."""
    placed = place(rgba, width, height)
    return placed[..., :3] + (1 - placed[..., 3:]) * np.asarray(colour, np.float32)
