"""Batches for training: which picture, on which background, with which sentence.

Everything is drawn from one seeded stream; captions are tokenised here, encoders run elsewhere.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import CLIPTokenizer, T5TokenizerFast

from training.autoencoder.codec import LinearCodec
from training.captions.grammar import BACKGROUNDS, LONG, SHORT, CaptionWriter
from training.captions.vocabulary import filler_words
from training.data.pictures import PictureStore, load_concepts
from training.data.sources import SOURCES, source
from training.train.scenes import Item, Scenes, colour_of, held_out, list_items

FAVOURED_STYLE, FAVOURED_SHARE = "fluent3d", 0.42
WHITE_SHARE = 0.45
NEW_CONCEPT_WEIGHT = 2.2  # of concepts added to a run that knows the others already
EMPTY_SHARE = 0.1  # of captions left empty, so that guidance has something to guide away from


@dataclass(frozen=True, slots=True)
class Tokens:
    """Two sets of ids for the same sentences."""

    t5: Tensor  # (B, T)
    clip: Tensor  # (B, 77 or fewer): pads after the end token change nothing under a causal mask


@dataclass(frozen=True, slots=True)
class Labels:
    """What each sentence says, for pretraining the encoders."""

    concept: Tensor
    style: Tensor
    background: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Clean latents and their sentences."""

    latents: Tensor
    tokens: Tokens
    labels: Labels


class TextFront:
    """The two tokenizers, used exactly as FluxPipeline uses them."""

    def __init__(self, work: Path) -> None:
        self.t5 = T5TokenizerFast.from_pretrained(work / "tokenizer_2")
        self.clip = CLIPTokenizer.from_pretrained(work / "tokenizer")

    def __call__(self, captions: list[str], length: int) -> Tokens:
        """Return ids; T5 is padded to `length`, CLIP to the longest of the batch."""
        t5 = self.t5(
            captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        clip = self.clip(
            captions, padding=True, max_length=77, truncation=True, return_tensors="pt"
        )
        return Tokens(t5.input_ids, clip.input_ids)


class BatchMaker:
    """Draws batches from one seeded stream; scenes of a canvas shape are made when first asked for."""

    def __init__(
        self, work: Path, num_concepts: int, seed: int, new_from: int | None = None
    ) -> None:
        self.concepts = load_concepts(num_concepts)
        self.store = PictureStore(work / "pictures")
        self.codec = LinearCodec.load(work / "autoencoder" / "codec.safetensors")
        self.items = list_items(self.store, self.concepts)
        self.held_out = held_out(self.items)
        self.front = TextFront(work)
        self.rng = random.Random(seed)  # noqa: S311 - not for secrets
        fillers = filler_words(work / "npm", self.concepts)
        self.writer = CaptionWriter(self.concepts, fillers, seed + 1)
        self.scenes: dict[tuple[int, int], Scenes] = {}
        self._rows = self._rows_by_concept()
        known = num_concepts if new_from is None else new_from
        self._drawn = [1.0 if i < known else NEW_CONCEPT_WEIGHT for i in range(num_concepts)]

    def _rows_by_concept(self) -> list[tuple[list[int], list[float]]]:
        table: list[tuple[list[int], list[float]]] = []
        for concept in range(len(self.concepts)):
            rows = [
                i
                for i, item in enumerate(self.items)
                if item.concept == concept and i not in self.held_out
            ]
            others = max(1, len(rows) - 1)
            weights = [
                FAVOURED_SHARE
                if self.items[i].picture.source == FAVOURED_STYLE
                else (1 - FAVOURED_SHARE) / others
                for i in rows
            ]
            table.append((rows, weights))
        return table

    def scenes_of(self, width: int, height: int) -> Scenes:
        """Return the scenes of one canvas shape."""
        key = (width, height)
        if key not in self.scenes:
            self.scenes[key] = Scenes(self.store, self.codec, self.items, width, height)
        return self.scenes[key]

    def draw(self) -> tuple[int, str]:
        """Return a random item's index and a background."""
        rows, weights = self.rng.choices(self._rows, self._drawn)[0]
        row = self.rng.choices(rows, weights)[0]
        white = self.rng.random() < WHITE_SHARE
        return row, "white" if white else self.rng.choice(list(BACKGROUNDS))

    def caption(self, item: Item, background: str, length: int) -> str:
        """Return a sentence; longer token sequences get longer sentences."""
        kind = LONG if length > 16 and self.rng.random() < 0.6 else SHORT
        concept = self.concepts[item.concept]
        return self.writer.write(concept, source(item.picture.source), background, kind)

    def batch(self, size: int, shape: tuple[int, int] | None, length: int, *, empty: bool) -> Batch:
        """Return `size` pairs; `shape` None leaves the latents out, `empty` drops some captions."""
        drawn = [self.draw() for _ in range(size)]
        captions = [self.caption(self.items[row], name, length) for row, name in drawn]
        if empty:
            captions = ["" if self.rng.random() < EMPTY_SHARE else text for text in captions]
        rows = torch.tensor([row for row, _ in drawn])
        colours = torch.tensor([colour_of(name) for _, name in drawn])
        latents = torch.empty(0) if shape is None else self.scenes_of(*shape).latents(rows, colours)
        return Batch(latents, self.front(captions, length), self._labels(drawn))

    def _labels(self, drawn: list[tuple[int, str]]) -> Labels:
        keys, names = [row.key for row in SOURCES], list(BACKGROUNDS)
        items = [self.items[row] for row, _ in drawn]
        return Labels(
            torch.tensor([item.concept for item in items]),
            torch.tensor([keys.index(item.picture.source) for item in items]),
            torch.tensor([names.index(name) for _, name in drawn]),
        )
