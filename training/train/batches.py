"""Batches for training: scenes, their latents and their sentences.

Everything is drawn from seeded streams; captions are tokenised here, encoders run elsewhere.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import CLIPTokenizer, T5TokenizerFast

from training.autoencoder.codec import LinearCodec
from training.captions.grammar import LONG, MIDDLE, SHORT, CaptionWriter
from training.captions.scene import Scene, SceneSampler
from training.captions.vocabulary import FILLERS_FILE
from training.data.items import list_items
from training.data.pictures import PictureStore, load_concepts
from training.train.painter import Painter

NEW_CONCEPT_WEIGHT = 2.2  # of concepts added to a run that knows the others already
EMPTY_SHARE = 0.1  # of captions left empty, so that guidance has something to guide away from


@dataclass(frozen=True, slots=True)
class Tokens:
    """Two sets of ids for the same sentences."""

    t5: Tensor  # (B, T)
    clip: Tensor  # (B, 77 or fewer): pads after the end token change nothing under a causal mask


@dataclass(frozen=True, slots=True)
class Batch:
    """Clean latents, their sentences, and what these say."""

    latents: Tensor
    tokens: Tokens
    scenes: list[Scene]


class TextFront:
    """The two tokenizers, used exactly as FluxPipeline uses them."""

    def __init__(self, folder: Path) -> None:
        self.t5 = T5TokenizerFast.from_pretrained(folder / "tokenizer_2")
        self.clip = CLIPTokenizer.from_pretrained(folder / "tokenizer")

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
    """Draws batches from seeded streams, tensors on one device."""

    def __init__(
        self,
        work: Path,
        num_concepts: int,
        seed: int,
        device: torch.device,
        new_from: int | None = None,
    ) -> None:
        self.concepts = load_concepts(num_concepts)
        store = PictureStore(work / "pictures")
        items = list_items(store, self.concepts)
        codec = LinearCodec.load(work / "autoencoder" / "codec.safetensors")
        self.painter = Painter(store, items, codec, device)
        self.device = device
        self.front = TextFront(work)
        self.rng = random.Random(seed)  # noqa: S311 - not for secrets
        fillers = json.loads((work / FILLERS_FILE).read_text(encoding="utf-8"))
        self.writer = CaptionWriter(self.concepts, fillers, seed + 1)
        known = num_concepts if new_from is None else new_from
        weights = [1.0 if i < known else NEW_CONCEPT_WEIGHT for i in range(num_concepts)]
        self.sampler = SceneSampler(items, self.concepts, seed + 2, weights)

    def reseed(self, seed: int) -> None:
        """Start other streams, as after a resumption: the same batches would come again."""
        self.rng.seed(seed)
        self.writer.rng.seed(seed + 1)
        self.sampler.rng.seed(seed + 2)

    def caption(self, scene: Scene, length: int) -> str:
        """Return a sentence; longer token sequences get longer sentences."""
        room = LONG if length > 32 else MIDDLE if length > 16 else SHORT
        return self.writer.write(scene, SHORT if self.rng.random() < 0.5 else room)

    def tokens(self, captions: list[str], length: int) -> Tokens:
        """Return the ids of `captions` on the device."""
        ids = self.front(captions, length)
        return Tokens(ids.t5.to(self.device), ids.clip.to(self.device))

    def batch(self, size: int, shape: tuple[int, int] | None, length: int, *, empty: bool) -> Batch:
        """Return `size` pairs; `shape` None leaves the latents out, `empty` drops some captions."""
        scenes = [self.sampler.draw() for _ in range(size)]
        captions = [self.caption(scene, length) for scene in scenes]
        if empty:
            captions = ["" if self.rng.random() < EMPTY_SHARE else text for text in captions]
        latents = torch.empty(0) if shape is None else self.painter.latents(scenes, *shape)
        return Batch(latents, self.tokens(captions, length), scenes)
