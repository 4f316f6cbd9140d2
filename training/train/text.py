"""Bind words before painting: teach both text encoders to name what a sentence says.

A few hundred steps on sentences alone; the heads are thrown away. Afterwards the pooled vector already says
what the transformer has to paint, whatever words stand around it. Encoders that a transformer listens to
already are held near what they said before wherever they knew every word.
"""

from __future__ import annotations

import copy
import json

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name
from torch import Tensor

from training.captions.scene import PLACES, RELATIONS, SIZES, Scene
from training.data.colours import BACKGROUNDS, OBJECT_COLOURS
from training.data.sources import SOURCES
from training.train.batches import Batch, BatchMaker
from training.train.flow import encode_text
from training.train.networks import Networks, Size

BATCH, PEAK_RATE = 160, 2e-3
ANCHOR_WEIGHT = 4.0
COLOURS = ("none", *OBJECT_COLOURS)
SOURCE_KEYS = tuple(source.key for source in SOURCES)


def label_sizes(num_concepts: int) -> tuple[int, ...]:
    """Return how many answers each question about a sentence has; see `labels`."""
    few = (len(SOURCES), len(BACKGROUNDS), 4, len(SIZES), len(PLACES), len(RELATIONS))
    return (num_concepts, num_concepts + 1, len(COLOURS), len(COLOURS), *few)


def labels(scenes: list[Scene], num_concepts: int) -> Tensor:
    """Return the answers, (B, questions)."""
    return torch.tensor([_answers(scene, num_concepts) for scene in scenes])


def _answers(scene: Scene, num_concepts: int) -> list[int]:
    first, second = scene.things[0], scene.things[1] if len(scene.things) > 1 else None
    return [
        first.concept,
        num_concepts if second is None else second.concept,
        COLOURS.index(first.colour or "none"),
        COLOURS.index((second.colour if second else None) or "none"),
        SOURCE_KEYS.index(scene.source),
        list(BACKGROUNDS).index(scene.background),
        scene.count - 1,
        list(SIZES).index(scene.size),
        list(PLACES).index(scene.place),
        RELATIONS.index(scene.relation),
    ]


class Heads(torch.nn.Module):
    """One linear classifier per question on a text vector."""

    def __init__(self, width: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes
        self.linear = torch.nn.Linear(width, sum(sizes))

    def loss(self, vector: Tensor, answers: Tensor) -> Tensor:
        """Return the sum of the cross entropies; naming the first thing counts double."""
        parts = self.linear(vector).split(self.sizes, 1)
        losses = [F.cross_entropy(part, answers[:, i]) for i, part in enumerate(parts)]
        return 2 * losses[0] + torch.stack(losses[1:]).sum()

    def hits(self, vector: Tensor, answers: Tensor) -> list[float]:
        """Return the rate of right answers to each question."""
        parts = self.linear(vector).split(self.sizes, 1)
        rates = [(part.argmax(1) == answers[:, i]).float() for i, part in enumerate(parts)]
        return [round(float(rate.mean()), 3) for rate in rates]


def pretrain_text(
    networks: Networks, maker: BatchMaker, size: Size, steps: int, known: int | None
) -> None:
    """Train both encoders in place, fp32; `known` concepts, if any, they have learned before."""
    sizes = label_sizes(len(maker.concepts))
    widths = {"t5": size.t5_width, "clip": size.clip_width}
    heads = {name: Heads(width, sizes).to(maker.device) for name, width in widths.items()}
    before = None if known is None else copy.deepcopy(networks).requires_grad_(requires_grad=False)
    encoders = [*networks.t5.parameters(), *networks.clip.parameters()]
    own = [p for head in heads.values() for p in head.parameters()]
    groups = [{"params": encoders}, {"params": own}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=1e-3)
    peaks = [PEAK_RATE if known is None else PEAK_RATE / 4, PEAK_RATE * 2]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=steps)
    for step in range(steps):
        batch = maker.batch(BATCH, None, (16, 32)[step % 2], empty=False)
        answers = labels(batch.scenes, len(maker.concepts)).to(maker.device)
        txt, vec = encode_text(networks, batch.tokens)
        spoken = (batch.tokens.t5 != 0).float()[..., None]
        mean = (txt * spoken).sum(1) / spoken.sum(1)
        loss = heads["t5"].loss(mean, answers) + heads["clip"].loss(vec, answers)
        if before is not None and known is not None:
            loss = loss + ANCHOR_WEIGHT * _drift((txt, vec), before, batch, known)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 24:
            row = {"text_step": step + 1, "loss": round(float(loss.detach()), 3)}
            row |= {"clip": heads["clip"].hits(vec, answers), "t5": heads["t5"].hits(mean, answers)}
            print(json.dumps(row), flush=True)


def _drift(said: tuple[Tensor, Tensor], before: Networks, batch: Batch, known: int) -> Tensor:
    """Return how far the encoders' outputs are from what they were, relative to their power."""
    plain = torch.tensor([is_plain(scene, known) for scene in batch.scenes])
    plain = plain.to(said[0].device)
    parts = [
        (now - old)[plain].square().mean() / old.square().mean()
        for now, old in zip(said, encode_text(before, batch.tokens), strict=True)
    ]
    return parts[0] + parts[1]


def is_plain(scene: Scene, known: int) -> bool:
    """Tell whether a run that knew `known` concepts could have seen `scene`."""
    thing = scene.things[0]
    alone = scene.relation == "none" and scene.count == 1 and thing.colour is None
    return alone and (scene.size, scene.place) == ("normal", "middle") and thing.concept < known
