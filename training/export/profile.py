"""`photogram.json`: what the product has to know about a checkpoint beyond its weights."""

from __future__ import annotations

import math

from training.data.colours import BACKGROUNDS
from training.data.pictures import Concept
from training.data.sources import SOURCES

NATIVE_SIZE = 256
RATIOS: tuple[tuple[int, int], ...] = (
    (1, 1), (16, 9), (9, 16), (21, 9), (9, 21), (3, 2), (2, 3), (4, 5), (5, 4), (3, 4), (4, 3),
)  # fmt: skip

# Best first, by the judge and by eye on the contact sheet.
SUGGESTED_PROMPTS: tuple[str, ...] = (
    "a cute panda, 3d render",
    "a penguin on a light blue background",
    "a wrapped gift on a teal background",
    "a smiling face with sunglasses",
    "an old CRT monitor on a desk in a messy room",
    "an alien on a black background",
    "a red fire engine",
    "a lion on a purple background",
    "a blue car",
    "a tiger face, flat style",
    "a heart on a pink background",
    "a rainbow",
)


def size_of_ratio(width: int, height: int) -> list[int]:
    """Return the sides, multiples of 32, nearest to the ratio at about the native area.

    A ratio wrong by 1 % counts as much as an area wrong by 3 %.
    """
    sides = range(128, 513, 32)
    if width < height:
        return size_of_ratio(height, width)[::-1]

    def cost(pair: tuple[int, int]) -> float:
        area = math.log(pair[0] * pair[1] / NATIVE_SIZE**2)
        return 3 * abs(math.log(pair[0] / pair[1] * height / width)) + abs(area)

    best = min(((w, h) for w in sides for h in sides if w >= h), key=cost)
    return [best[0], best[1]]


def build_profile(concepts: list[Concept]) -> dict[str, object]:
    """Return the profile as plain data."""
    return {
        "slug": "photogram-mini",
        "name": "Photogram Mini",
        "native_size": NATIVE_SIZE,
        "aspect_ratios": {f"{w}:{h}": size_of_ratio(w, h) for w, h in RATIOS},
        "concepts": [concept.name for concept in concepts],
        "styles": [source.style for source in SOURCES],
        "backgrounds": list(BACKGROUNDS),
        "suggested_prompts": list(SUGGESTED_PROMPTS),
        "license": "Apache-2.0",
    }
