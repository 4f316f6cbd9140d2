"""Train the judge, a step at a time, going on from where the last call stopped.

Comes in: real pictures and a number of steps. Goes out: a judge and its file. The same seed and number of
steps give the same stream of pictures; they grow on the way, and the rate falls to zero with the last step.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.evaluate.augment import vary
from training.evaluate.judge import Judge
from training.evaluate.real import RealPictures
from training.muon import Muon

BATCH_SIZE = 96
OTHERS_SHARE = 0.3  # of a batch: emoji that are no concept
RATE = 3e-3
WARM_STEPS = 60
SAVE_EVERY = 100
SMALL_SIDE = 48  # for the first part of the steps: nearly twice as many in the same time
SMALL_SHARE = 0.65


class Lesson:
    """The judge with its two optimizers and the number of steps done."""

    def __init__(self, num_classes: int) -> None:
        self.judge = Judge(num_classes)
        self.judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch lacks it
        named = list(self.judge.named_parameters())
        inner = {name for name, p in named if p.ndim == 4 and not name.startswith("body.0.")}
        muon = [p for name, p in named if name in inner]
        rest = [p for name, p in named if name not in inner]
        self.optimizers = (
            Muon(muon, lr=0.0, weight_decay=0.02),
            torch.optim.AdamW(rest, lr=0.0, weight_decay=0.02),
        )
        self.step = 0

    def learn(self, x: Tensor, labels: Tensor, rate: float) -> float:
        """Take one step on pictures `x`, (B, 3, 64, 64); return the loss."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = self.judge(x)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=0.1)
        loss.backward()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return loss.item()

    def save(self, path: Path) -> None:
        """Write weights, optimizer state and the number of steps."""
        tensors = {f"judge.{name}": t for name, t in self.judge.state_dict().items()}
        for index, optimizer in enumerate(self.optimizers):
            for row, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{index}.{row}.{key}": t for key, t in state.items()}
        partial = path.with_suffix(".partial")
        tensors = {name: t.contiguous() for name, t in tensors.items()}
        save_file(tensors, partial, metadata={"step": str(self.step)})
        partial.rename(path)

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        tensors = load_file(path)
        weights = {k.removeprefix("judge."): t for k, t in tensors.items() if k[:6] == "judge."}
        self.judge.load_state_dict(weights)
        for index, optimizer in enumerate(self.optimizers):
            table = optimizer.state_dict()
            for name, tensor in tensors.items():
                kind, *place = name.split(".")
                if kind == "optimizer" and int(place[0]) == index:
                    table["state"].setdefault(int(place[1]), {})[place[2]] = tensor
            optimizer.load_state_dict(table)
        with safe_open(path, framework="pt") as file:
            self.step = int(file.metadata()["step"])


def get_judge(path: Path, real: RealPictures, steps: int) -> Judge:
    """Return the judge of `path`, trained to `steps` first if it is not there yet."""
    torch.manual_seed(11)
    lesson = Lesson(real.num_classes)
    if path.is_file():
        lesson.load(path)
    if lesson.step < steps:
        path.parent.mkdir(parents=True, exist_ok=True)
        _teach(lesson, real, steps, path)
    lesson.judge.eval()
    return lesson.judge


def _teach(lesson: Lesson, real: RealPictures, steps: int, path: Path) -> None:
    concepts = torch.where(real.shows_concept & ~real.is_unseen)[0]
    others = torch.where(~real.shows_concept & ~real.is_unseen)[0]
    num_others = int(BATCH_SIZE * OTHERS_SHARE) if len(others) else 0
    start = time.perf_counter()
    while lesson.step < steps:
        torch.manual_seed(11 + lesson.step)  # so that a resumed run draws what an unbroken one does
        rows = torch.cat([_draw(concepts, BATCH_SIZE - num_others), _draw(others, num_others)])
        rate = RATE * min(1.0, (lesson.step + 1) / WARM_STEPS) * (1 - lesson.step / steps)
        x = vary(real.floats(rows))
        if lesson.step < SMALL_SHARE * steps:
            x = F.interpolate(x, size=SMALL_SIDE, mode="bilinear", antialias=True)
        loss = lesson.learn(x, real.labels[rows], rate)
        if lesson.step % SAVE_EVERY == 0 or lesson.step == steps:
            lesson.save(path)
            row = {"judge_step": lesson.step, "loss": round(loss, 3)}
            row["seconds"] = round(time.perf_counter() - start, 1)
            print(json.dumps(row), flush=True)


def _draw(rows: Tensor, count: int) -> Tensor:
    return rows[torch.randint(len(rows), (count,))] if count else rows[:0]
