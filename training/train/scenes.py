"""Latents of every picture on any background, without drawing it again.

The latent transform is linear, so the latent of a picture laid on a colour is
`base + red * m[0] + green * m[1] + blue * m[2]`: four maps per picture and canvas shape, made once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.autoencoder.codec import LinearCodec
from training.captions.grammar import BACKGROUNDS
from training.data.pictures import Concept, Picture, PictureStore, place


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of one concept."""

    concept: int
    picture: Picture


def list_items(store: PictureStore, concepts: list[Concept]) -> list[Item]:
    """Return every picture of every concept."""
    return [Item(i, p) for i, concept in enumerate(concepts) for p in store.of_concept(concept)]


def held_out(items: list[Item]) -> set[int]:
    """Return indices of the concept and style pairs kept from training: one for each fourth concept."""
    chosen: set[int] = set()
    for concept in range(1, max(item.concept for item in items) + 1, 4):
        rows = [
            i
            for i, item in enumerate(items)
            if item.concept == concept and item.picture.source not in ("fluent3d", "fxemoji")
        ]
        chosen.add(rows[concept % len(rows)])
    return chosen


class Scenes:
    """The four maps of every item for one canvas shape; batches of latents come out."""

    def __init__(
        self, store: PictureStore, codec: LinearCodec, items: list[Item], width: int, height: int
    ) -> None:
        self.width, self.height = width, height
        maps = [self._maps(store, codec, item, width, height) for item in items]
        self.maps = torch.stack(maps)  # (N, 4, 16, H/16, W/16)

    @staticmethod
    def _maps(
        store: PictureStore, codec: LinearCodec, item: Item, width: int, height: int
    ) -> Tensor:
        placed = torch.from_numpy(place(store.rgba(item.picture), width, height)).permute(2, 0, 1)
        see_through = torch.diag_embed((1 - placed[3:]).permute(1, 2, 0).expand(-1, -1, 3))
        stack = torch.cat([placed[None, :3] * 2 - 1, see_through.permute(3, 2, 0, 1) * 2])
        latents = codec.encode(stack)
        latents[1:] -= codec.encode(torch.zeros_like(stack[:1]))
        return latents.to(torch.bfloat16)

    def latents(self, rows: Tensor, colours: Tensor) -> Tensor:
        """Return (B, 16, H/16, W/16) fp32 of items `rows` on `colours`, (B, 3) in [0, 1]."""
        maps = self.maps[rows].float()
        return maps[:, 0] + torch.einsum("bk,bkchw->bchw", colours, maps[:, 1:])


def colour_of(background: str) -> tuple[float, float, float]:
    """Return the colour of a named background in [0, 1]."""
    red, green, blue = BACKGROUNDS[background]
    return red / 255, green / 255, blue / 255
