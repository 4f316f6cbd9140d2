"""A picture on its way, and how several go one step together.

In: pictures that are being painted, at any step, of any size and guidance. Out: the same, one step
further. It knows the transformer, and nothing of prompts, pixels or queues.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from photogram.model.adapters import Adapters
from photogram.model.attention import Packing
from photogram.model.step_cache import Remembered, StepCache
from photogram.pipeline.source import Kept
from photogram.sampling.solver import euler_step


@dataclass(slots=True)
class Denoising:
    """One picture between noise and pixels; `step_batch` moves it on.

    Attributes:
        img: (L, C) float32, the packed latents; float32 because late steps are small.
        txt: (T, context_in_dim), the text sequence.
        pe: (T + L, head_dim / 2, 2) float32, the positions.
        mods: (num_steps, num_modulations, hidden_size), the modulation of every step.
        sigmas: num_steps + 1 noise levels, the last one 0; those that run.
        step: Steps done.
        width: Pixels.
        height: Pixels.
        prompt_tokens: T5 tokens of the whole prompt.
        prompt_truncated: Some of them were cut off.
        adapters: What it is painted with beside the network.
        velocity: (L, C), that of the last step; None before the first.
        remembered: What a step cache keeps for the next step; None before the first, and without.
        kept: What stays of another picture, put back after every step; None where nothing does.
    """

    img: Tensor
    txt: Tensor
    pe: Tensor
    mods: Tensor
    sigmas: tuple[float, ...]
    width: int
    height: int
    prompt_tokens: int
    prompt_truncated: bool
    adapters: Adapters = ()
    step: int = 0
    velocity: Tensor | None = None
    remembered: Remembered | None = None
    kept: Kept | None = None

    @property
    def num_steps(self) -> int:
        """Steps from where it begins to the picture."""
        return len(self.sigmas) - 1

    @property
    def is_done(self) -> bool:
        """All steps are done."""
        return self.step == self.num_steps

    @property
    def num_tokens(self) -> int:
        """Text and image tokens: what a step costs."""
        return len(self.pe)


class Transformer(Protocol):
    """`model.transformer.Flux`, or what runs it on a GPU."""

    def __call__(
        self,
        img: Tensor,
        txt: Tensor,
        pe: Sequence[Tensor],
        mods: Sequence[Tensor],
        packing: Packing,
        adapters: Sequence[Adapters],
    ) -> Tensor:
        """The velocity of every image token, as `Flux.forward` says."""


def step_batch(
    transformer: Transformer | StepCache, batch: Sequence[Denoising], *, alone: bool = False
) -> None:
    """One Euler step of every picture of the batch.

    Args:
        transformer: The network, perhaps with a cache.
        batch: At least one picture, none of them done.
        alone: Each in a pass of the network of its own, instead of all in one.
    """
    passes = [[item] for item in batch] if alone else [batch]
    found = [velocity for each in passes for velocity in _velocities(transformer, each)]
    moved = [_move(item, velocity) for item, (velocity, _) in zip(batch, found, strict=True)]
    # all or none: a step that ran out of memory half-way is run again
    for item, img, (velocity, remembered) in zip(batch, moved, found, strict=True):
        item.img = img
        item.velocity = velocity
        item.remembered = remembered
        item.step += 1


def _move(item: Denoising, velocity: Tensor) -> Tensor:
    img = euler_step(item.img, velocity, *item.sigmas[item.step : item.step + 2])
    return img if item.kept is None else item.kept.put_back(img, item.sigmas[item.step + 1])


def _velocities(
    transformer: Transformer | StepCache, batch: Sequence[Denoising]
) -> list[tuple[Tensor, Remembered | None]]:
    """Of every picture its velocity, and what a cache shall remember."""
    packing = Packing(
        img=tuple(len(item.img) for item in batch), txt=tuple(len(item.txt) for item in batch)
    )
    img = torch.cat([item.img for item in batch]).to(batch[0].txt.dtype)
    txt = torch.cat([item.txt for item in batch])
    pe, mods = [item.pe for item in batch], [item.mods[item.step] for item in batch]
    adapters = [item.adapters for item in batch] if any(item.adapters for item in batch) else ()
    remembered: Sequence[Remembered | None] = [item.remembered for item in batch]
    if isinstance(transformer, StepCache):
        velocities, remembered = transformer(img, txt, pe, mods, packing, adapters, remembered)
    else:
        velocities = transformer(img, txt, pe, mods, packing, adapters)
    return list(zip(velocities.split(packing.img), remembered, strict=True))
