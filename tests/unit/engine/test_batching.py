"""Which samples run one step together."""

import dataclasses

import pytest

from photogram.engine.batching import QUICK_STRETCH, RUNNING_BATCHES, StepBuilder, StepLimits
from photogram.engine.cost import CostModel, Load
from photogram.engine.request import Request
from tests.unit.engine.recording import job
from tests.unit.engine.simulation import EMBEDDED, LARGE, LIMITS


def request(*, num_tokens: int = 96, is_begun: bool = True, **fields: object) -> Request:
    made = Request(job("a", **fields), num_tokens, arrived_at=0.0)
    made.samples[0].is_begun = is_begun
    return made


def taken(step: StepBuilder, requests: list[Request]) -> int:
    return sum(step.take(each.samples[0], is_quick=each.is_short) for each in requests)


def test_a_step_is_filled_up_to_its_target() -> None:
    requests = [request() for _ in range(50)]
    step = StepBuilder(CostModel(EMBEDDED), LIMITS, requests)
    assert 10 < taken(step, requests) < 20
    assert LIMITS.target_s / 2 < step.seconds <= LIMITS.target_s


def test_a_step_is_filled_up_to_its_tokens() -> None:
    requests = [request() for _ in range(50)]
    limits = dataclasses.replace(LIMITS, num_tokens=96 * 3)
    assert taken(StepBuilder(CostModel(EMBEDDED), limits, requests), requests) == 3


def test_the_first_sample_is_taken_however_large_it_is() -> None:
    large = request(num_tokens=10**6)
    step = StepBuilder(CostModel(LARGE), LIMITS, [large])
    assert step.take(large.samples[0], is_quick=False)
    assert not step.take(request().samples[0], is_quick=False)


def test_no_second_sample_where_that_saves_nothing() -> None:
    requests = [request(num_tokens=4608) for _ in range(2)]
    limits = StepLimits(target_s=10.0, num_tokens=10**6)
    assert taken(StepBuilder(CostModel(LARGE), limits, requests), requests) == 1


def test_prompts_that_are_encoded_for_a_step_count_towards_its_target() -> None:
    requests = [request(is_begun=False) for _ in range(50)]
    step = StepBuilder(CostModel(EMBEDDED), LIMITS, requests)
    begun = [request() for _ in range(50)]
    assert taken(step, requests) < taken(StepBuilder(CostModel(EMBEDDED), LIMITS, begun), begun)
    assert step.seconds <= LIMITS.target_s


@pytest.mark.parametrize("short_first", [True, False])
def test_long_ones_join_a_short_one_only_while_its_step_stays_quick(short_first: bool) -> None:
    cost = CostModel(EMBEDDED)
    short, longs = request(), [request() for _ in range(8)]
    short.is_short = True
    step = StepBuilder(cost, LIMITS, [short, *longs])
    taken(step, [short, *longs] if short_first else [longs[0], short, *longs[1:]])
    assert step.seconds <= max(
        QUICK_STRETCH * cost.step_s(Load.of([96])), cost.step_s(Load.of([96] * 2))
    )
    assert short.samples[0] in step.samples


def test_short_ones_join_each_other_freely() -> None:
    requests = [request() for _ in range(5)]
    for each in requests:
        each.is_short = True
    assert taken(StepBuilder(CostModel(EMBEDDED), LIMITS, requests), requests) == 5


def test_memory_is_shared_among_tenants_and_each_may_have_one_sample() -> None:
    limits = StepLimits(target_s=10.0, num_tokens=96)
    running = [request(tenant="flood") for _ in range(RUNNING_BATCHES)]
    waiting = [request(tenant="flood", is_begun=False) for _ in range(2)]
    other = [request(tenant="other", is_begun=False) for _ in range(4)]
    requests = [*running, *waiting, *other]

    def may_begin(each: Request) -> bool:
        return StepBuilder(CostModel(EMBEDDED), limits, requests).take(
            each.samples[0], is_quick=False
        )

    assert not may_begin(waiting[0])
    assert may_begin(other[0])
    other[0].samples[0].is_begun = True
    assert may_begin(other[1])  # half of the memory is the other tenant's
    other[1].samples[0].is_begun = True
    assert not may_begin(other[2])
    waiting[0].is_short = True
    assert may_begin(waiting[0])
    running[0].samples[0].is_decoded = running[1].samples[0].is_decoded = True
    running[2].samples[0].is_decoded = True
    assert may_begin(waiting[1])
