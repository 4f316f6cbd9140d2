"""The real pictures that paintings are measured against, small, with the class of each.

Comes in: the store of drawn pictures and the concepts. Goes out: premultiplied RGBA at the judge's size and
labels: concepts first, then every other emoji as a class of its own, which only the judge's training uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.data.pictures import Concept, PictureStore, plain
from training.evaluate.augment import lay_on
from training.evaluate.judge import SIDE, UNSEEN_STYLE

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RealPictures:
    """Every real picture.

    Attributes:
        rgba: (N, 4, 64, 64) uint8, colours premultiplied.
        labels: (N,) classes; below `num_concepts` they are concepts.
        sources: Set of each picture.
        num_concepts: How many concepts there are.
        num_classes: Concepts and other emoji.
    """

    rgba: Tensor
    labels: Tensor
    sources: tuple[str, ...]
    num_concepts: int
    num_classes: int

    @property
    def is_unseen(self) -> Tensor:
        """(N,) whether the picture belongs to the set that the judge never sees."""
        return torch.tensor([key == UNSEEN_STYLE for key in self.sources])

    @property
    def shows_concept(self) -> Tensor:
        """(N,) whether the picture shows a concept."""
        return self.labels < self.num_concepts

    def floats(self, rows: Tensor) -> Tensor:
        """Return (B, 4, 64, 64) in [0, 1]."""
        return self.rgba[rows].float() / 255

    def on_white(self, rows: Tensor) -> Tensor:
        """Return (B, 3, 64, 64) in [0, 1]."""
        return lay_on(self.floats(rows), torch.ones(len(rows), 3))


def load_real(store: PictureStore, concepts: list[Concept], cache: Path) -> RealPictures:
    """Return every picture of `store`; thumbnails are made once and kept in the file `cache`."""
    classes = {plain(concept.emoji): i for i, concept in enumerate(concepts)}
    for picture in store.pictures:
        classes.setdefault(picture.emoji, len(classes))
    return RealPictures(
        rgba=_thumbnails(store, cache),
        labels=torch.tensor([classes[picture.emoji] for picture in store.pictures]),
        sources=tuple(picture.source for picture in store.pictures),
        num_concepts=len(concepts),
        num_classes=len(classes),
    )


def _thumbnails(store: PictureStore, cache: Path) -> Tensor:
    if cache.is_file():
        rgba = load_file(cache)["rgba"]
        if len(rgba) == len(store.pictures):
            return rgba
    small = np.stack([shrink(store.rgba(p)) for p in store.pictures])
    rgba = torch.from_numpy(small).contiguous()
    cache.parent.mkdir(parents=True, exist_ok=True)
    save_file({"rgba": rgba}, cache)
    return rgba


def shrink(rgba: Pixels) -> Pixels:
    """Return (256, 256, 4) uint8 as (4, 64, 64) uint8, colours premultiplied, by the mean of cells."""
    values = rgba.astype(np.float32)
    values[..., :3] *= values[..., 3:] / 255
    cell = rgba.shape[0] // SIDE
    small = values.reshape(SIDE, cell, SIDE, cell, 4).mean((1, 3))
    planes: Pixels = (small + 0.5).astype(np.uint8).transpose(2, 0, 1)
    return planes
