"""Figures of sets of pictures: named by the judge, in the asked style, number, place and colours.

Comes in: prompts and pictures (N, 3, H, W) in [0, 1], painted or real. Goes out: rows of plain numbers. It does
not know who painted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name
from torch import Tensor

from training.captions.scene import Scene, layout
from training.data.colours import BACKGROUNDS, colour_of
from training.evaluate.copies import Gallery
from training.evaluate.judge import SIDE, Judge
from training.evaluate.prompts import PLACES, Prompt
from training.evaluate.regions import (
    background_of,
    count_things,
    crop_of,
    halves,
    main_colour,
    thing_mask,
)

Row = dict[str, float]


@dataclass(frozen=True, slots=True)
class Bench:
    """What pictures are measured with."""

    judge: Judge
    num_concepts: int
    gallery: Gallery

    @torch.no_grad()
    def logits(self, small: Tensor) -> Tensor:
        """Return (N, concepts) of pictures at the judge's size."""
        parts = [self.judge(part) for part in small.split(128)]
        return torch.cat(parts)[:, : self.num_concepts]

    @torch.no_grad()
    def features(self, small: Tensor) -> Tensor:
        """Return (N, 256) of pictures at the judge's size."""
        return torch.cat([self.judge.features(part) for part in small.split(128)])


def shrink(pictures: Tensor) -> Tensor:
    """Return square pictures at the judge's size."""
    return F.interpolate(pictures, size=(SIDE, SIDE), mode="area")


def rate(hits: Sequence[bool] | Tensor) -> float:
    """Return the share of hits, rounded."""
    return round(float(torch.as_tensor(hits).float().mean()), 4)


def rates(logits: Tensor, labels: Tensor) -> Row:
    """Return count, top-1 and top-5 rates."""
    ranks = (logits > logits.gather(1, labels[:, None])).sum(1)
    return {"n": len(labels), "top1": rate(ranks < 1), "top5": rate(ranks < 5)}


def labels_of(prompts: list[Prompt]) -> Tensor:
    """Return the first concept of each prompt."""
    return torch.tensor([prompt.concept for prompt in prompts])


def named(bench: Bench, prompts: list[Prompt], pictures: Tensor) -> Row:
    """Return how often the judge names the thing of whole square pictures."""
    return rates(bench.logits(shrink(pictures)), labels_of(prompts))


def cropped(bench: Bench, prompts: list[Prompt], pictures: Sequence[Tensor]) -> Row:
    """Return how often the judge names the thing in the square around it, on any canvas."""
    crops = torch.stack([crop_of(picture, thing_mask(picture)) for picture in pictures])
    return rates(bench.logits(crops), labels_of(prompts))


def shuffled(bench: Bench, prompts: list[Prompt], pictures: Tensor) -> Row:
    """Return the rates when each picture is held against another prompt: should be chance."""
    labels = labels_of(prompts).roll(len(prompts) // 3 + 1)
    return rates(bench.logits(shrink(pictures)), labels)


def on_background(prompts: list[Prompt], pictures: Tensor) -> float:
    """Return how often the corners are nearest to the asked background of all fourteen."""
    names = list(BACKGROUNDS)
    palette = torch.tensor([colour_of(name) for name in names])
    hits = []
    for prompt, picture in zip(prompts, pictures, strict=True):
        apart = (palette - background_of(picture)).square().sum(1)
        hits.append(names[int(apart.argmin())] == prompt.scene.background)
    return rate(hits)


def in_colour(bench: Bench, prompts: list[Prompt], pictures: Tensor) -> Row:
    """Return how often a thing has the asked colour, and is still named."""
    hits = [
        main_colour(picture) == prompt.scene.things[0].colour
        for prompt, picture in zip(prompts, pictures, strict=True)
    ]
    return named(bench, prompts, pictures) | {"colour": rate(hits)}


def coupled(bench: Bench, prompts: list[Prompt], pictures: Tensor) -> Row:
    """Return how often both halves show what they should.

    `both` wants each thing in the half where the sentence puts it, `swapped` finds them in the other half,
    `one` counts each of the two on its own.
    """
    found = []
    for prompt, picture in zip(prompts, pictures, strict=True):
        upright = prompt.scene.relation in ("above", "below")
        parts = halves(picture, upright=upright)
        crops = torch.stack([crop_of(part, thing_mask(part)) for part in parts])
        found.append(bench.logits(crops).argmax(1))
    shown = torch.stack(found)
    wanted = torch.tensor([_in_order(prompt.scene) for prompt in prompts])
    right = shown == wanted
    swapped = (shown == wanted.flip(1)).all(1)
    return {
        "n": len(prompts),
        "both": rate(right.all(1)),
        "swapped": rate(swapped),
        "one": rate(right.flatten()),
    }


def _in_order(scene: Scene) -> tuple[int, int]:
    """Return the concepts from left to right, or from top to bottom."""
    first, second = (thing.concept for thing in scene.things)
    return (second, first) if scene.relation in ("right", "below") else (first, second)


def counted(bench: Bench, prompts: list[Prompt], pictures: Tensor) -> Row:
    """Return how often the number is right, and how often one of the asked things is named.

    The judge looks into the squares where a right picture has its things.
    """
    numbers, crops, labels = [], [], []
    for prompt, picture in zip(prompts, pictures, strict=True):
        numbers.append(count_things(picture) == prompt.scene.count)
        height, width = picture.shape[1:]
        for square in layout(prompt.scene, width, height):
            part = picture[
                :, square.top : square.top + square.side, square.left : square.left + square.side
            ]
            crops.append(F.interpolate(part[None], size=(SIDE, SIDE), mode="area")[0])
            labels.append(prompt.concept)
    row = rates(bench.logits(torch.stack(crops)), torch.tensor(labels))
    return {"n": len(prompts), "number": rate(numbers), "top1": row["top1"]}


def placed(bench: Bench, prompts: list[Prompt], pictures: Tensor) -> Row:
    """Return how often the middle of the thing is nearest to the asked place, and it is named."""
    hits = []
    for prompt, picture in zip(prompts, pictures, strict=True):
        height, width = picture.shape[1:]
        places = {
            place: layout(_moved(prompt.scene, place), width, height)[0]
            for place in ("middle", *PLACES)
        }
        rows, columns = torch.where(thing_mask(picture))
        if len(rows) == 0:
            hits.append(False)
            continue
        middle = (float(columns.float().mean()), float(rows.float().mean()))
        apart = {
            place: (square.left + square.side / 2 - middle[0]) ** 2
            + (square.top + square.side / 2 - middle[1]) ** 2
            for place, square in places.items()
        }
        hits.append(min(apart, key=apart.__getitem__) == prompt.scene.place)
    return cropped(bench, prompts, list(pictures)) | {"place": rate(hits)}


def _moved(scene: Scene, place: str) -> Scene:
    return Scene(scene.things, scene.source, scene.background, place=place)


def in_style(bench: Bench, prompts: list[Prompt], pictures: Tensor) -> Row:
    """Return the named rates, and how often the nearest real picture has the thing, and the style of it."""
    nearest = bench.gallery.nearest(prompts, pictures)
    wanted = torch.tensor([prompt.scene.things[0].item for prompt in prompts])
    labels = labels_of(prompts)
    own = bench.gallery.nearest_of_thing(prompts, pictures)
    return named(bench, prompts, pictures) | {
        "nearest": rate(bench.gallery.labels[nearest.rows] == labels),
        "style": rate(own.rows == wanted),
    }
