"""Bind words before painting: teach both text encoders to name concept, style and background.

A few hundred steps on sentences alone; the heads are thrown away. Afterwards the pooled vector already says
what the transformer has to paint, whatever words stand around it.
"""

from __future__ import annotations

import json

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name
from torch import Tensor

from training.captions.grammar import BACKGROUNDS
from training.data.sources import SOURCES
from training.train.batches import BatchMaker, Labels
from training.train.flow import encode_text
from training.train.networks import Networks, Size


class Heads(torch.nn.Module):
    """Three linear classifiers on a text vector."""

    def __init__(self, width: int, num_concepts: int) -> None:
        super().__init__()
        self.concept = torch.nn.Linear(width, num_concepts)
        self.style = torch.nn.Linear(width, len(SOURCES))
        self.background = torch.nn.Linear(width, len(BACKGROUNDS))

    def loss(self, vector: Tensor, labels: Labels) -> Tensor:
        """Return the sum of the three cross entropies."""
        return (
            F.cross_entropy(self.concept(vector), labels.concept)
            + F.cross_entropy(self.background(vector), labels.background)
            + 0.5 * F.cross_entropy(self.style(vector), labels.style)
        )


def pretrain_text(networks: Networks, maker: BatchMaker, size: Size, steps: int) -> None:
    """Train the encoders in place, fp32."""
    count = len(maker.concepts)
    heads = {"t5": Heads(size.t5_width, count), "clip": Heads(size.clip_width, count)}
    parameters = [*networks.t5.parameters(), *networks.clip.parameters()]
    parameters += [p for head in heads.values() for p in head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, betas=(0.9, 0.98), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step in range(steps):
        batch = maker.batch(160, None, 32 if step % 2 else 16, empty=False)
        txt, vec = encode_text(networks, batch.tokens)
        spoken = (batch.tokens.t5 != 0).float()[..., None]
        mean = (txt * spoken).sum(1) / spoken.sum(1)
        loss = heads["t5"].loss(mean, batch.labels) + heads["clip"].loss(vec, batch.labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            hits = (heads["clip"].concept(vec).argmax(1) == batch.labels.concept).float().mean()
            row = {"text_step": step + 1, "loss": loss.item(), "clip_concept": hits.item()}
            print(json.dumps(row), flush=True)
