"""The noise levels of a run: FLUX's schedule, shifted towards noise for larger pictures.

In: a number of steps and of image tokens. Out: sigmas from near 1 to 0, and the timesteps that the
network is told. It knows no latents and no network.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from photogram.sampling.params import ScheduleParams


@dataclass(frozen=True, slots=True)
class Schedule:
    """The noise levels of one run.

    Attributes:
        sigmas: (S + 1,) float32, falling, the last one 0.
        timesteps: (S,) float32 in [0, 1], what the network is told at each step.
    """

    sigmas: Tensor
    timesteps: Tensor

    def without_first(self, num_steps: int) -> "Schedule":
        """What is left of the run when its first steps are left out, at most all of them."""
        return Schedule(self.sigmas[num_steps:], self.timesteps[num_steps:])


def make_schedule(params: ScheduleParams, num_steps: int, image_seq_len: int) -> Schedule:
    """The schedule of `num_steps` Euler steps for a picture of `image_seq_len` tokens.

    Source: huggingface/diffusers pipelines/flux/pipeline_flux.py (evenly spaced sigmas, `mu`) and
    schedulers/scheduling_flow_match_euler_discrete.py `set_timesteps`; equal to it to the last bit,
    which is why divisions are between tensors: torch rounds number / tensor differently.
    """
    spacing = (1 / num_steps - 1.0) / max(num_steps - 1, 1)
    t = torch.tensor([1.0 + i * spacing for i in range(num_steps)], dtype=torch.float64)
    t = t.float()
    if params.use_dynamic_shifting:
        mu = resolution_shift(params, image_seq_len)
        alpha = torch.tensor(math.exp(mu) if params.time_shift_type == "exponential" else mu)
        sigmas = alpha / (alpha + (torch.ones(()) / t - 1.0))
    else:
        sigmas = params.shift * t / (1.0 + (params.shift - 1.0) * t)
    timesteps = sigmas * params.num_train_timesteps / 1000.0
    return Schedule(torch.cat([sigmas, torch.zeros(1)]), timesteps)


def resolution_shift(params: ScheduleParams, image_seq_len: int) -> float:
    """`mu` of a picture: linear in its tokens through the two points of `params`.

    Source: "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis"
    (arXiv:2403.03206), section 5.3.2; diffusers `calculate_shift`.
    """
    slope = (params.max_shift - params.base_shift) / (
        params.max_image_seq_len - params.base_image_seq_len
    )
    return image_seq_len * slope + (params.base_shift - slope * params.base_image_seq_len)
