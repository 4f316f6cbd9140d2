"""A residual network that names the thing in a picture; trained on real pictures only.

One set (`UNSEEN_STYLE`) is kept from it: its accuracy there is the ceiling that a painting can be measured by.
It learns every emoji of the other sets, so that its features do not hang on the concepts alone; when it
judges, only the concepts are answers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name
from torch import Tensor, nn

UNSEEN_STYLE = "twemoji"
SIDE = 64
WIDTHS = (32, 64, 128, 256)


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm around a skip; Source: K. He et al. (2016), basic block."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inner, outer, 3, 2, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outer)
        self.second = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outer)
        self.skip = nn.Conv2d(inner, outer, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outer, H / 2, W / 2)."""
        y = self.second_norm(self.second(F.relu(self.first_norm(self.first(x)))))
        return F.relu(y + self.skip(F.avg_pool2d(x, 2)))


class Judge(nn.Module):
    """64x64 RGB in [0, 1] to logits over every class; the concepts are the first classes."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, WIDTHS[0], 3, 2, 1, bias=False),
            nn.BatchNorm2d(WIDTHS[0]),
            nn.ReLU(),
        ]
        inner = WIDTHS[0]
        for width in WIDTHS[1:]:
            layers.append(Block(inner, width))
            inner = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(inner * 4, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Return (B, 256), the mean over places of the last maps."""
        maps: Tensor = self.body(_centred(x))
        return maps.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes); position is kept coarsely, by a 2x2 grid."""
        logits: Tensor = self.head(F.adaptive_avg_pool2d(self.body(_centred(x)), 2).flatten(1))
        return logits


def _centred(x: Tensor) -> Tensor:
    return (x * 2 - 1).contiguous(memory_format=torch.channels_last)
