"""How close paintings come to real pictures: the nearest one at 32 pixels, and when it counts as a copy.

Comes in: real pictures by item, and paintings of prompts. Goes out: distances and rates. A distance is the root
mean square error over the pixels that the real thing fills, on the same background. A painting is a copy when
it is as close to a real picture as that picture's own reconstruction by the autoencoder, moved by two pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name
from diffusers import AutoencoderKL
from torch import Tensor

from training.captions.scene import Scene, Thing
from training.data.colours import colour_of
from training.data.items import Item
from training.evaluate.prompts import Prompt
from training.train.painter import Painter

SIDE = 32
MOVED_BY = 2  # of 256 pixels
TOLERANCE_SHARE = 0.95  # of real pictures that count as copies of themselves


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest real picture of each painting."""

    rows: Tensor  # (N,) items
    distances: Tensor  # (N,)


class Gallery:
    """All real pictures of the concepts, laid on any background."""

    def __init__(self, painter: Painter, items: list[Item]) -> None:
        self.painter, self.items = painter, items
        self.labels = torch.tensor([item.concept for item in items])
        white, black = self.on("white"), self.on("black")
        shown = (white - black).mean((1, 2, 3)) / (1 - sum(colour_of("black")) / 3)
        self.filled = (1 - shown).clamp(min=0.01)  # share of the canvas that each thing fills
        self._kept = {"white": white, "black": black}

    def on(self, background: str) -> Tensor:
        """Return (items, 3, 32, 32) in [0, 1], shrunk by the mean of cells as paintings are."""
        scenes = [
            Scene((Thing(row, item.concept),), item.picture.source, background)
            for row, item in enumerate(self.items)
        ]
        parts = [
            F.avg_pool2d(self.painter.pictures(scenes[i : i + 256], 2 * SIDE, 2 * SIDE), 2)
            for i in range(0, len(scenes), 256)
        ]
        return torch.cat(parts) / 2 + 0.5

    def distances(self, picture: Tensor, background: str) -> Tensor:
        """Return the distance of `picture`, (3, H, W), from every real picture on `background`."""
        if background not in self._kept:
            self._kept[background] = self.on(background)
        small = F.interpolate(picture[None], size=(SIDE, SIDE), mode="area")
        error = (self._kept[background] - small).square().mean((1, 2, 3))
        return (error / self.filled).sqrt()

    def nearest(
        self, prompts: list[Prompt], pictures: Tensor, hidden: Tensor | None = None
    ) -> Nearest:
        """Return the nearest real picture of each painting; those marked in `hidden` are left out.

        `hidden` is (items,), or (N, items) where it differs between the paintings.
        """
        if hidden is None:
            hidden = torch.zeros(len(self.items), dtype=torch.bool)
        table = torch.stack(
            [
                self.distances(picture, prompt.scene.background)
                for prompt, picture in zip(prompts, pictures, strict=True)
            ]
        ).masked_fill(hidden, torch.inf)
        distances, rows = table.min(1)
        return Nearest(rows, distances)

    def nearest_of_thing(self, prompts: list[Prompt], pictures: Tensor) -> Nearest:
        """Return the nearest real picture of the asked thing."""
        asked = torch.tensor([prompt.concept for prompt in prompts])
        return self.nearest(prompts, pictures, self.labels[None] != asked[:, None])


@torch.no_grad()
def copy_tolerance(folder: Path, gallery: Gallery, rows: list[int]) -> float:
    """Return the distance within which nearly all of `rows` lie from themselves, repainted and moved."""
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    distances = []
    for count, row in enumerate(rows):
        item = gallery.items[row]
        scene = Scene((Thing(row, item.concept),), item.picture.source, "white")
        picture = gallery.painter.pictures([scene], 256, 256)
        again = vae.decode(vae.encode(picture).latent_dist.mode()).sample / 2 + 0.5
        across = MOVED_BY if count % 2 else -MOVED_BY
        down = MOVED_BY if count // 2 % 2 else -MOVED_BY
        moved = again.clamp(0, 1).roll((down, across), (2, 3))
        distances.append(gallery.distances(moved[0], "white")[row])
    return float(torch.stack(distances).quantile(TOLERANCE_SHARE))


def copy_rates(
    gallery: Gallery, prompts: list[Prompt], pictures: Tensor, unseen: set[int], tolerance: float
) -> dict[str, float]:
    """Return how many paintings copy a real picture, each rate of all paintings.

    `copies` are within `tolerance` of a picture that training saw, `of_the_thing` of them show the asked thing
    in some style, `of_the_pair` is the very picture of the asked thing and style. `nearest_is_the_pair` asks
    for no tolerance and also counts pictures that training never saw: there it is a merit.
    """
    hidden = torch.zeros(len(gallery.items), dtype=torch.bool)
    hidden[sorted(unseen)] = True
    seen, every = gallery.nearest(prompts, pictures, hidden), gallery.nearest(prompts, pictures)
    pairs = torch.tensor([prompt.scene.things[0].item for prompt in prompts])
    asked = torch.tensor([prompt.concept for prompt in prompts])
    is_copy = seen.distances <= tolerance
    shares = {
        "copies": is_copy,
        "of_the_thing": is_copy & (gallery.labels[seen.rows] == asked),
        "of_the_pair": is_copy & (seen.rows == pairs),
        "nearest_is_the_pair": every.rows == pairs,
    }
    row = {name: round(float(hits.float().mean()), 4) for name, hits in shares.items()}
    return {"n": len(prompts), **row, "median_distance": round(float(seen.distances.median()), 4)}


def twins(gallery: Gallery, tolerance: float) -> float:
    """Return the share of real pictures that lie within `tolerance` of one from another set."""
    real, sources = gallery.on("white"), [item.picture.source for item in gallery.items]
    keys = {key: index for index, key in enumerate(sorted(set(sources)))}
    own = torch.tensor([keys[key] for key in sources])
    hits = [
        bool((gallery.distances(real[row], "white")[own != own[row]] <= tolerance).any())
        for row in range(0, len(real), 4)
    ]
    return round(sum(hits) / len(hits), 4)
