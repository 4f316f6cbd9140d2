"""What training never shows: concept and style pairs, and couples of concepts in one picture.

Comes in: items and concepts. Goes out: sets that depend on names and order alone, so that every run and
every evaluation keep the same things apart.
"""

from __future__ import annotations

import random
import zlib

from training.data.items import Item
from training.data.pictures import Concept

SPARSE_UNTIL = (
    132  # of these concepts each fourth gives one pair, of the later ones each gives one or two
)
ALWAYS_SEEN = ("fluent3d", "fxemoji")  # the style of a plain prompt, and the set with the most gaps


def held_out_pairs(items: list[Item]) -> set[int]:
    """Return indices of the items (concept and style) kept from training."""
    chosen: set[int] = set()
    for concept in range(1, max(item.concept for item in items) + 1):
        rows = [
            i
            for i, item in enumerate(items)
            if item.concept == concept and item.picture.source not in ALWAYS_SEEN
        ]
        if concept < SPARSE_UNTIL:
            count = 1 if concept % 4 == 1 else 0
        else:
            count = 2 if concept % 4 == 1 else 1
        chosen.update(rows[(concept + 3 * k) % len(rows)] for k in range(count))
    return chosen


def is_held_out_combination(first: str, second: str) -> bool:
    """Tell whether two concepts, by name and in any order, are never painted together."""
    names = "|".join(sorted((first, second)))
    return zlib.crc32(names.encode()) % 50 == 0


def held_out_combinations(concepts: list[Concept], count: int) -> list[tuple[int, int]]:
    """Return the first `count` held-out couples in a fixed random order."""
    couples = [
        (i, j)
        for i in range(len(concepts))
        for j in range(i + 1, len(concepts))
        if is_held_out_combination(concepts[i].name, concepts[j].name)
    ]
    random.Random(0).shuffle(couples)  # noqa: S311 - not for secrets
    return couples[:count]
