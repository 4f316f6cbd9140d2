"""Which picture shows which thing: one `Item` per concept and set.

Comes in: the drawn pictures and the concepts. Goes out: the list that every index of training and
evaluation points into. It knows no split and no caption.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.data.pictures import Concept, Picture, PictureStore


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of one concept."""

    concept: int
    picture: Picture


def list_items(store: PictureStore, concepts: list[Concept]) -> list[Item]:
    """Return every picture of every concept."""
    return [Item(i, p) for i, concept in enumerate(concepts) for p in store.of_concept(concept)]
