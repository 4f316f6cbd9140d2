"""Train by the clock: draw a batch, move, report, save; a phase can be cut and taken up again.

Comes in: networks, batches, a state and a `Phase`. Goes out: a state file and one JSON object per report.
The rate rises, holds and falls over the time that the whole phase was given, however many calls that takes.
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
from training.train.phases import Canvas, Phase
from training.train.state import TrainingState, load_average

BASE_GUIDANCE = 1.0
LONGEST_STEP = 20.0  # seconds that a step counts at most: a process may have been paused
DATA_SHARE = 0.5  # of the data in a distilled target; the rest is the teacher


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a call lasts by the clock, and how long its phase works in all; seconds."""

    seconds: float
    phase_seconds: float
    save_every: float


def shaped_rate(progress: float, hold: float) -> float:
    """Return the share of the peak rate at `progress` in [0, 1]: short rise, hold, fall to a twentieth."""
    if progress < 0.02:
        return 0.02 + progress / 0.02 * 0.98
    return 1.0 if progress < hold else max(0.05, (1 - progress) / (1 - hold))


def flow_loss(networks: Networks, batch: Batch, shift: float, spread: int) -> Tensor:
    """Squared error of the velocity."""
    x0 = pack(batch.latents)
    noise, sigma = torch.randn_like(x0), draw_sigma(len(x0), shift, x0.device)
    text = encode_text(networks, batch.tokens)
    ids = image_ids(batch.latents.shape[2], batch.latents.shape[3], spread)
    guidance = torch.full((len(x0),), BASE_GUIDANCE, device=x0.device)
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
    noise, sigma = torch.randn_like(x0), draw_sigma(len(x0), shift, x0.device)
    img, ids = mix(x0, noise, sigma), image_ids(*batch.latents.shape[2:])
    base = torch.full((len(x0),), BASE_GUIDANCE, device=x0.device)
    guidance = draw_guidance(len(x0), x0.device)
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


def draw_guidance(count: int, device: torch.device) -> Tensor:
    """Return guidance scales: three of four in [1, 6], where people ask, the rest in all of [0, 10]."""
    scale = torch.rand(count, device=device)
    return torch.where(torch.rand(count, device=device) < 0.25, 10 * scale, 1 + 5 * scale)


class Trainer:
    """Runs phases on one checkpoint folder."""

    def __init__(
        self,
        networks: Networks,
        maker: BatchMaker,
        state: TrainingState,
        folder: Path,
        scale: float,
    ) -> None:
        """Take the parts; batches are `scale` times as large as on a CPU."""
        self.networks, self.maker, self.state, self.folder = networks, maker, state, folder
        self.scale = scale
        self.teacher: Networks | None = None
        self.is_stopping = False

    def stop(self, signum: int, frame: object) -> None:
        """Finish the step, save and return: what a termination signal asks for."""
        del signum, frame
        self.is_stopping = True

    def run(self, phase: Phase, budget: Budget) -> None:
        """Train until the call's or the phase's time is over, reporting and saving on the way."""
        state = self.state
        if state.progress.phase != phase.name:
            state.begin(phase.name)
        if phase.distill:
            self._make_teacher()
        start, before = time.perf_counter(), state.progress
        last, worked, reported, saved = start, 0.0, 0.0, 0.0
        loss, steps = 0.0, 0
        while not self.is_stopping and last - start < budget.seconds:
            if before.phase_seconds + worked >= budget.phase_seconds:
                break
            value, count = self._backward(phase)
            rate = shaped_rate((before.phase_seconds + worked) / budget.phase_seconds, phase.hold)
            norm = state.step(phase.muon_rate * rate, phase.adam_rate * rate)
            steps, loss = steps + 1, 0.98 * loss + 0.02 * value
            now = time.perf_counter()
            worked, last = worked + min(now - last, LONGEST_STEP), now
            state.count(before, count, worked)
            if worked - reported > 30:
                reported = worked
                row = {"loss": round(loss / (1 - 0.98**steps), 4), "norm": round(norm, 3)}
                print(json.dumps(row | {"rate": round(rate, 3)} | state.summary()), flush=True)
            if worked - saved > budget.save_every:
                saved = worked
                state.save(self.folder)
        state.save(self.folder)

    def _backward(self, phase: Phase) -> tuple[float, int]:
        """Add the gradients of one batch; return its loss and its size."""
        rng = self.maker.rng
        canvas: Canvas = rng.choices(phase.canvases, [c.weight for c in phase.canvases])[0]
        lengths, weights = zip(*phase.text_lengths, strict=True)
        length = rng.choices(lengths, weights)[0]
        size = phase.batch_size(canvas, self.scale)
        shape = (canvas.width, canvas.height)
        batch = self.maker.batch(size, shape, length, empty=not phase.distill)
        if self.teacher is None:
            loss = flow_loss(self.networks, batch, phase.sigma_shift, canvas.spread)
        else:
            empty = self.maker.tokens([""], length)
            loss = distill_loss(self.networks, self.teacher, batch, empty, phase.sigma_shift)
        loss.backward()
        return float(loss.detach()), size

    def _make_teacher(self) -> None:
        """Freeze the average as the phase found it; a resumed phase reads it back."""
        path = self.folder / "teacher.safetensors"
        if self.state.progress.phase_seconds == 0 or not path.is_file():
            self.state.save_average(path)
        self.teacher = copy.deepcopy(self.networks)
        load_average(self.teacher, path)
        self.teacher.requires_grad_(requires_grad=False)
