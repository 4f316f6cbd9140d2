"""Figures of one set of painted pictures: named by the judge, nearest real picture, background."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name
from torch import Tensor

from training.captions.grammar import BACKGROUNDS
from training.evaluate.judge import SIDE, UNSEEN_STYLE, Judge, lay_on, ranks
from training.evaluate.prompts import Prompt
from training.train.scenes import Item, colour_of


@dataclass(frozen=True, slots=True)
class Bench:
    """What pictures are measured against."""

    judge: Judge
    rgba: Tensor  # real pictures, (N, 4, 64, 64)
    items: list[Item]

    @property
    def labels(self) -> Tensor:
        """Concept of each real picture."""
        return torch.tensor([item.concept for item in self.items])


def rates(found: Tensor) -> dict[str, float]:
    """Return count, top-1 and top-5 rates of ranks."""
    top1, top5 = (found < 1).float().mean(), (found < 5).float().mean()
    return {"n": len(found), "top1": round(float(top1), 4), "top5": round(float(top5), 4)}


def shrink(pictures: Tensor) -> Tensor:
    """Return pictures at the judge's size."""
    return F.interpolate(pictures, size=(SIDE, SIDE), mode="area")


def measure(bench: Bench, pictures: Tensor, prompts: list[Prompt]) -> dict[str, float]:
    """Return the judge's rates and how often the nearest real picture shows the right thing."""
    labels = torch.tensor([prompt.concept for prompt in prompts])
    small = shrink(pictures)
    near = nearest(bench, small, prompts)
    hits = (bench.labels[near] == labels).float().mean()
    return rates(ranks(bench.judge, small, labels)) | {"nearest": round(float(hits), 4)}


def nearest(bench: Bench, small: Tensor, prompts: list[Prompt]) -> Tensor:
    """Return the index of the real picture, laid on the asked background, nearest at 32 px."""
    found = []
    for picture, prompt in zip(small, prompts, strict=True):
        colour = torch.tensor([colour_of(prompt.background or "white")])
        real = lay_on(bench.rgba, colour.expand(len(bench.rgba), -1))
        distance = F.avg_pool2d(real - picture, 2).square().mean((1, 2, 3))
        found.append(distance.argmin())
    return torch.stack(found)


def shuffled(bench: Bench, pictures: Tensor, prompts: list[Prompt]) -> dict[str, float]:
    """Return the rates when each picture is held against another prompt: should be chance."""
    labels = torch.tensor([prompt.concept for prompt in prompts]).roll(len(prompts) // 3 + 1)
    return rates(ranks(bench.judge, shrink(pictures), labels))


def references(bench: Bench) -> dict[str, dict[str, float]]:
    """Return the judge's rates on real pictures, of the unseen style and of those it learned from."""
    white = torch.ones(len(bench.rgba), 3)
    found = ranks(bench.judge, lay_on(bench.rgba, white), bench.labels)
    unseen = torch.tensor([item.picture.source == UNSEEN_STYLE for item in bench.items])
    return {
        "real pictures, unseen style (ceiling)": rates(found[unseen]),
        "real pictures, judge's own": rates(found[~unseen]),
    }


def background_rate(pictures: Tensor, prompts: list[Prompt]) -> tuple[float, int]:
    """Return how often the corners are nearest to the asked background, and of how many."""
    names = list(BACKGROUNDS)
    palette = torch.tensor([colour_of(name) for name in names])
    hits, count = 0, 0
    for picture, prompt in zip(pictures, prompts, strict=True):
        if prompt.background is not None:
            blocks = [
                picture[:, y, x]
                for y in (slice(0, 10), slice(-10, None))
                for x in (slice(0, 10), slice(-10, None))
            ]
            corner = torch.stack([block.mean((1, 2)) for block in blocks]).median(0).values
            hits += names[int((palette - corner).square().sum(1).argmin())] == prompt.background
            count += 1
    return round(hits / max(1, count), 4), count
