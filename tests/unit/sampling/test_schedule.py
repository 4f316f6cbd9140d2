import math

import pytest
import torch

from photogram.sampling.params import ScheduleParams
from photogram.sampling.schedule import make_schedule, resolution_shift


def test_sigmas_fall_from_one_to_zero() -> None:
    for params in (ScheduleParams(shift=3.0), ScheduleParams(use_dynamic_shifting=True)):
        schedule = make_schedule(params, num_steps=25, image_seq_len=1024)
        assert schedule.sigmas[0] == 1
        assert schedule.sigmas[-1] == 0
        assert (schedule.sigmas.diff() < 0).all()
        assert torch.allclose(schedule.timesteps, schedule.sigmas[:-1])


def test_without_shift_the_steps_are_even() -> None:
    sigmas = make_schedule(ScheduleParams(), num_steps=4, image_seq_len=64).sigmas
    assert sigmas.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_shift_is_the_odds_multiplied() -> None:
    sigmas = make_schedule(ScheduleParams(shift=3.0), num_steps=2, image_seq_len=64).sigmas
    assert sigmas[1].item() == pytest.approx(0.75)  # odds 1 become odds 3


def test_dynamic_shift_grows_with_the_picture() -> None:
    params = ScheduleParams(use_dynamic_shifting=True)
    assert resolution_shift(params, 256) == pytest.approx(0.5)
    assert resolution_shift(params, 4096) == pytest.approx(1.15)
    middle = make_schedule(params, num_steps=2, image_seq_len=4096).sigmas[1].item()
    assert middle == pytest.approx(math.exp(1.15) / (math.exp(1.15) + 1))


@pytest.mark.parametrize(
    "values",
    [
        {"shift": 0.0},
        {"shift": math.inf},
        {"num_train_timesteps": 0},
        {"base_image_seq_len": 4096},
        {"max_shift": math.nan},
        {"time_shift_type": "cubic"},
    ],
)
def test_numbers_that_make_no_schedule_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values)).split("_")[0]):
        ScheduleParams(**values)
