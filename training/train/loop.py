"""One phase of training: a canvas shape, a text length, a time, a peak rate.

Phases are run one after another on the same checkpoint: words and objects at 128 px (16 tokens), then
256 px, then all shapes, then guidance distillation. The rate rises, holds and falls by the clock.
"""

from __future__ import annotations

import copy
import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training.train.batches import Batch, BatchMaker, Tokens
from training.train.flow import draw_sigma, encode_text, image_ids, mix, pack, velocity
from training.train.networks import Networks
from training.train.state import TrainingState, load_average

BASE_GUIDANCE = 1.0
DATA_SHARE = 0.5  # of the data in a distilled target; the rest is the teacher


@dataclass(frozen=True, slots=True)
class Phase:
    """What one phase does."""

    name: str
    shapes: tuple[tuple[int, int], ...]  # the first is drawn most of the time
    other_share: float  # of batches in one of the other shapes
    text_length: int
    batch_size: int
    muon_rate: float
    adam_rate: float
    sigma_shift: float
    distill: bool = False
    spread: int = 1  # see flow.image_ids


SQUARE = (256, 256)
OTHERS = (
    (288, 224), (224, 288), (288, 192), (192, 288), (352, 192), (192, 352), (384, 160), (160, 384),
    (128, 128),
)  # fmt: skip

PHASES: dict[str, Phase] = {
    "small": Phase("small", ((128, 128),), 0.0, 16, 80, 2e-3, 1e-3, 1.5, spread=2),
    "large": Phase("large", (SQUARE, *OTHERS), 0.08, 32, 40, 1.5e-3, 7e-4, 2.0),
    "shapes": Phase("shapes", (SQUARE, *OTHERS), 0.65, 32, 40, 8e-4, 4e-4, 2.0),
    "distill": Phase("distill", (SQUARE, *OTHERS), 0.5, 32, 32, 4e-4, 2e-4, 2.0, distill=True),
}


def shaped_rate(progress: float) -> float:
    """Return the share of the peak rate at `progress` in [0, 1]: short rise, hold, fall to a twentieth."""
    if progress < 0.02:
        return progress / 0.02
    return 1.0 if progress < 0.5 else max(0.05, 2 * (1 - progress))


def flow_loss(networks: Networks, batch: Batch, shift: float, spread: int) -> Tensor:
    """Squared error of the velocity."""
    x0 = pack(batch.latents)
    noise, sigma = torch.randn_like(x0), draw_sigma(len(x0), shift)
    text = encode_text(networks, batch.tokens)
    ids = image_ids(*batch.latents.shape[2:], spread)
    guidance = torch.full((len(x0),), BASE_GUIDANCE)
    output = velocity(networks, mix(x0, noise, sigma), ids, text, sigma, guidance)
    return (output.float() - (noise - x0)).square().mean()


def distill_loss(
    networks: Networks, teacher: Networks, batch: Batch, empty: Tokens, shift: float
) -> Tensor:
    """Match the guided velocity at a random strength, learning from the data on the way.

    The target is `v + (g - 1) * (v_said - v_nothing)`, where the difference is the frozen teacher's and `v`
    lies between the teacher's and the data's velocity.
    Source: C. Meng et al., "On Distillation of Guided Diffusion Models" (2023), stage one, where `v` is
    the teacher's alone; Z. Tang et al., "Diffusion Models without Classifier-free Guidance" (2025),
    where it is the data's alone.
    """
    x0 = pack(batch.latents)
    noise, sigma = torch.randn_like(x0), draw_sigma(len(x0), shift)
    img, ids = mix(x0, noise, sigma), image_ids(*batch.latents.shape[2:])
    base, guidance = torch.full((len(x0),), BASE_GUIDANCE), draw_guidance(len(x0))
    with torch.no_grad():
        txt, vec = encode_text(teacher, empty)
        nothing = (txt.expand(len(x0), -1, -1), vec.expand(len(x0), -1))
        said = encode_text(teacher, batch.tokens)
        without = velocity(teacher, img, ids, nothing, sigma, base).float()
        given = velocity(teacher, img, ids, said, sigma, base).float()
        target = given.lerp(noise - x0, DATA_SHARE)
        target += (guidance[:, None, None] - 1) * (given - without)
    text = encode_text(networks, batch.tokens)
    output = velocity(networks, img, ids, text, sigma, guidance)
    return (output.float() - target).square().mean()


def draw_guidance(count: int) -> Tensor:
    """Return guidance scales: three of four in [1, 6], where people ask, the rest in all of [0, 10]."""
    everywhere = torch.rand(count) < 0.25
    return torch.where(everywhere, 10 * torch.rand(count), 1 + 5 * torch.rand(count))


class Trainer:
    """Runs phases on one checkpoint folder."""

    def __init__(
        self, networks: Networks, maker: BatchMaker, state: TrainingState, folder: Path
    ) -> None:
        self.networks, self.maker, self.state, self.folder = networks, maker, state, folder
        self.teacher: Networks | None = None
        self.is_stopping = False

    def stop(self, signum: int, frame: object) -> None:
        """Finish the step, save and return: what a termination signal asks for."""
        del signum, frame
        self.is_stopping = True

    def _loss(self, phase: Phase, shape: tuple[int, int]) -> Tensor:
        size = phase.batch_size
        batch = self.maker.batch(size, shape, phase.text_length, empty=not phase.distill)
        if not phase.distill:
            return flow_loss(self.networks, batch, phase.sigma_shift, phase.spread)
        assert self.teacher is not None
        empty = self.maker.front([""], phase.text_length)
        return distill_loss(self.networks, self.teacher, batch, empty, phase.sigma_shift)

    def _make_teacher(self) -> None:
        self.state.save(self.folder, {"phase": "teacher"})
        self.teacher = copy.deepcopy(self.networks)
        load_average(self.teacher, self.folder)
        self.teacher.requires_grad_(requires_grad=False)

    def run(self, phase: Phase, seconds: float, save_every: float) -> None:
        """Train for `seconds`, reporting each half minute and saving as often as asked."""
        if phase.distill:
            self._make_teacher()
        start = time.perf_counter()
        spent, reported, saved, total, steps = 0.0, 0.0, 0.0, 0.0, 0
        before = dict(self.state.counters)
        while spent < seconds and not self.is_stopping:
            other = self.maker.rng.random() < phase.other_share
            shape = self.maker.rng.choice(phase.shapes[1:]) if other else phase.shapes[0]
            loss = self._loss(phase, shape)
            loss.backward()
            rate = shaped_rate(spent / seconds)
            decay = min(0.998, (1 + steps) / (10 + steps))
            norm = self.state.step(phase.muon_rate * rate, phase.adam_rate * rate, decay)
            steps, total = steps + 1, 0.98 * total + 0.02 * loss.item()
            spent = time.perf_counter() - start
            self._count(before, steps, phase, spent)
            if spent - reported > 30:
                reported = spent
                row = {"phase": phase.name, "loss": round(total / (1 - 0.98**steps), 4)}
                row |= {"norm": round(norm, 3), "rate": round(rate, 3)}
                print(json.dumps(row | self.state.counters), flush=True)
            if spent - saved > save_every:
                saved = spent
                self.state.save(self.folder, {"phase": phase.name})
        self.state.save(self.folder, {"phase": phase.name})

    def _count(self, before: dict[str, float], steps: int, phase: Phase, spent: float) -> None:
        counters = self.state.counters
        counters["steps"] = before["steps"] + steps
        counters["samples"] = before["samples"] + steps * phase.batch_size
        counters["seconds"] = round(before["seconds"] + spent, 1)
