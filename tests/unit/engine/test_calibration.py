"""What a calibration measures, with a runner that takes known times."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from photogram.engine.calibration import Calibration
from photogram.engine.cost import CostModel, Load
from tests.unit.engine.recording import TOKENS_PER_SAMPLE, RecordingRunner


@dataclass
class SlowRunner(RecordingRunner):
    """Takes a millisecond a step and one for each of its samples."""

    def step(self, states: Sequence[str]) -> None:
        super().step(states)
        time.sleep(0.001 * (1 + len(states)))


@dataclass
class SmallRunner(SlowRunner):
    """Its memory holds two samples."""

    def step(self, states: Sequence[str]) -> None:
        if len(states) > 2:
            raise RuntimeError("out of memory")
        super().step(states)


def calibrate(runner: RecordingRunner, longest_s: float = 1.0) -> tuple[CostModel, int]:
    """The fitted model, and the number of pieces after the first."""
    cost = CostModel()
    calibration = Calibration(runner, cost, longest_s=longest_s)
    calibration.warm_up()
    num_pieces = 0
    while calibration.run_piece():
        num_pieces += 1
    assert not calibration.run_piece()
    return cost, num_pieces


def test_larger_steps_are_measured_after_the_warm_up() -> None:
    runner = SlowRunner()
    cost, num_pieces = calibrate(runner)
    assert num_pieces > 10
    assert {len(batch) for batch in runner.batches} == {1, 2, 4, 8}
    lone_s, many_s = (cost.step_s(Load.of([TOKENS_PER_SAMPLE] * n)) for n in (1, 8))
    assert lone_s < many_s < 8 * lone_s


def test_what_would_take_too_long_is_not_measured() -> None:
    runner = SlowRunner()
    cost, num_pieces = calibrate(runner, longest_s=1e-9)
    assert {len(batch) for batch in runner.batches} == {1}
    assert num_pieces == 2  # one sample of each size was begun to find out
    assert cost.step_s(Load.of([TOKENS_PER_SAMPLE])) >= 0.001


def test_a_device_that_fails_half_way_keeps_what_was_measured(
    capfd: pytest.CaptureFixture[str],
) -> None:
    cost, _ = calibrate(SmallRunner())
    assert cost.step_s(Load.of([TOKENS_PER_SAMPLE] * 2)) > cost.step_s(Load.of([TOKENS_PER_SAMPLE]))
