"""A small network that names the thing in a picture; trained on real pictures only.

One set (`UNSEEN_STYLE`) is kept from it: its accuracy there is the ceiling that a painting can be measured by.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.data.pictures import PictureStore
from training.train.scenes import Item

UNSEEN_STYLE = "twemoji"
SIDE = 64


class Judge(nn.Module):
    """Four stages of convolutions with batch norm; 64x64 RGB in [0, 1] to concept logits."""

    def __init__(self, num_concepts: int, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for stage in range(4):
            out = width * 2**stage
            layers += [
                nn.Conv2d(channels, out, 3, padding=1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(),
            ]
            if stage:
                layers += [
                    nn.Conv2d(out, out, 3, padding=1, bias=False),
                    nn.BatchNorm2d(out),
                    nn.ReLU(),
                ]
            layers.append(nn.MaxPool2d(2))
            channels = out
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels * 4, num_concepts)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, concepts); position is kept coarsely, by a 2x2 grid."""
        return self.head(F.adaptive_avg_pool2d(self.body(x * 2 - 1), 2).flatten(1))


def thumbnails(store: PictureStore, items: list[Item]) -> Tensor:
    """Return every picture as (N, 4, 64, 64) in [0, 1], premultiplied."""
    rows = []
    for item in items:
        rgba = store.rgba(item.picture).astype(np.float32) / 255
        rgba[..., :3] *= rgba[..., 3:]
        rows.append(rgba.reshape(SIDE, 4, SIDE, 4, 4).mean((1, 3)))
    return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).contiguous()


def lay_on(rgba: Tensor, colours: Tensor) -> Tensor:
    """Return RGB of premultiplied `rgba` (B, 4, H, W) on `colours` (B, 3)."""
    return rgba[:, :3] + (1 - rgba[:, 3:]) * colours[:, :, None, None]


def vary(rgba: Tensor) -> Tensor:
    """Return RGB with random background, shift, scale, blur, brightness and noise."""
    count = len(rgba)
    scale = 1 / (0.8 + 0.3 * torch.rand(count))
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = scale
    theta[:, 1, 1] = scale
    theta[:, :, 2] = (torch.rand(count, 2) - 0.5) * 0.2
    rgba = F.grid_sample(
        rgba, F.affine_grid(theta, list(rgba.shape), align_corners=False), align_corners=False
    )
    colours = torch.where(torch.rand(count, 1) < 0.4, torch.ones(count, 3), torch.rand(count, 3))
    x = lay_on(rgba, colours)
    if torch.rand(()) < 0.6:
        side = int(torch.randint(16, 48, ()))
        small = F.interpolate(x, size=side, mode="bilinear", antialias=True)
        x = F.interpolate(small, size=SIDE, mode="bilinear")
    gain = 1 + 0.3 * (torch.rand(count, 3, 1, 1) - 0.5)
    return (x * gain + 0.06 * torch.rand(()) * torch.randn_like(x)).clamp(0, 1)


def train_judge(rgba: Tensor, items: list[Item], num_concepts: int, seconds: float) -> Judge:
    """Train on every set but the unseen one, for `seconds`."""
    torch.manual_seed(11)
    rows = torch.tensor([i for i, it in enumerate(items) if it.picture.source != UNSEEN_STYLE])
    labels = torch.tensor([item.concept for item in items])
    judge = Judge(num_concepts)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=0.0, weight_decay=0.02)
    start, step = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1.0, (step + 1) / 30) * (1 - spent / seconds)
        chosen = rows[torch.randint(0, len(rows), (96,))]
        logits = judge(vary(rgba[chosen]))
        loss = F.cross_entropy(logits, labels[chosen], label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        step += 1
        if step % 100 == 0:
            print(
                json.dumps({"judge_step": step, "loss": loss.item(), "seconds": spent}), flush=True
            )
    return judge.eval()


def get_judge(
    path: Path, rgba: Tensor, items: list[Item], num_concepts: int, seconds: float
) -> Judge:
    """Load the judge, or train and save it."""
    if path.is_file():
        judge = Judge(num_concepts)
        judge.load_state_dict(load_file(path))
        return judge.eval()
    judge = train_judge(rgba, items, num_concepts, seconds)
    save_file({name: tensor.contiguous() for name, tensor in judge.state_dict().items()}, path)
    return judge


@torch.no_grad()
def ranks(judge: Judge, pictures: Tensor, labels: Tensor) -> Tensor:
    """Return how many concepts the judge puts before the right one, (B,), for pictures at 64 px."""
    logits = judge(pictures)
    return (logits > logits.gather(1, labels[:, None])).sum(1)
