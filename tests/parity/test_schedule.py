"""The schedule equals diffusers' scheduler as FluxPipeline calls it, to the last bit."""

import dataclasses

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from photogram.sampling.params import ScheduleParams
from photogram.sampling.schedule import make_schedule

PARAMS = [
    ScheduleParams(),
    ScheduleParams(shift=3.0),
    ScheduleParams(shift=1.7, num_train_timesteps=500),
    ScheduleParams(use_dynamic_shifting=True),
    ScheduleParams(use_dynamic_shifting=True, base_shift=0.3, max_shift=0.9),
    ScheduleParams(use_dynamic_shifting=True, base_image_seq_len=16, max_image_seq_len=64),
    ScheduleParams(use_dynamic_shifting=True, time_shift_type="linear"),
]


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("image_seq_len", [16, 64, 1024, 4096])
def test_schedule_equals_diffusers(params: ScheduleParams, image_seq_len: int) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(**dataclasses.asdict(params))
    mu = calculate_shift(
        image_seq_len,
        params.base_image_seq_len,
        params.max_image_seq_len,
        params.base_shift,
        params.max_shift,
    )
    for num_steps in range(1, 51):
        sigmas = np.linspace(1.0, 1 / num_steps, num_steps)
        scheduler.set_timesteps(sigmas=sigmas, mu=mu)
        ours = make_schedule(params, num_steps, image_seq_len)
        assert torch.equal(ours.sigmas, scheduler.sigmas)
        assert torch.equal(ours.timesteps, scheduler.timesteps / 1000)
