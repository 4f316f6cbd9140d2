"""The engine's promises about time, on a pretended device with the costs of real ones.

Every promise is checked over random arrivals; the bounds are those that `engine.scheduler` states.
"""

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photogram.core.messages import CancelJob, Failed, Finished, GenerateJob, Source
from photogram.engine.batching import StepLimits
from photogram.engine.cost import GUESS, CostModel, CostTable, Load
from photogram.engine.scheduler import AGEING, ROUND_TARGETS
from tests.unit.engine.simulation import (
    EMBEDDED,
    EMBEDDED_MODEL,
    LARGE,
    LARGE_MODEL,
    LIMITS,
    Simulation,
    native,
)

MODELS = {"embedded": (EMBEDDED, EMBEDDED_MODEL), "large": (LARGE, LARGE_MODEL)}


def simulate(which: str, **fields: object) -> Simulation:
    table, model = MODELS[which]
    return Simulation(table, model, **fields)  # type: ignore[arg-type]


@st.composite
def arrivals(draw: st.DrawFn, most: int = 10) -> list[tuple[float, GenerateJob]]:
    """Jobs of all kinds, with the times of their arrival."""
    jobs = []
    for number in range(draw(st.integers(1, most))):
        num_steps, side = draw(st.integers(1, 50)), draw(st.sampled_from([128, 256]))
        first_step = draw(st.none() | st.integers(0, num_steps))
        one = native(
            Simulation(),
            str(number),
            num_steps,
            source=None if first_step is None else Source(image=b"", first_step=first_step),
            width=side,
            height=draw(st.sampled_from([128, 256])),
            seeds=tuple(range(draw(st.integers(1, 4)))),
            tenant=draw(st.sampled_from("abc")),
        )
        jobs.append((draw(st.floats(0, 3)), one))
    return jobs


@settings(deadline=None)
@given(
    jobs=arrivals(),
    cancels=st.dictionaries(st.integers(0, 9), st.floats(0, 4), max_size=4),
    known=st.sampled_from([EMBEDDED, GUESS, LARGE]),
    noise=st.sampled_from([0.0, 0.5]),
    tokens=st.sampled_from([1, 300, 9216]),
)
def test_no_sample_is_lost_or_run_twice_and_the_device_never_idles(
    jobs: list[tuple[float, GenerateJob]],
    cancels: dict[int, float],
    known: CostTable,
    noise: float,
    tokens: int,
) -> None:
    limits = StepLimits(LIMITS.target_s, tokens)
    simulation = Simulation(known=known, noise=noise, limits=limits)
    commands = [(at, CancelJob(str(number))) for number, at in cancels.items()]
    simulation.run([*jobs, *commands])
    assert simulation.turns.count(0.0) == 0
    for at, one in jobs:
        last, steps = simulation.last[one.job_id], simulation.steps_of(one.job_id)
        if isinstance(last, Finished):
            assert [image.seed for image in last.images] == list(one.seeds)
            assert steps == (dict.fromkeys(one.seeds, one.num_steps_run) if steps else {})
            assert steps.total() == len(one.seeds) * one.num_steps_run
            assert simulation.encoded[one.job_id] == (one.source is not None)
            assert all(simulation.decoded[one.job_id, seed] == 1 for seed in one.seeds)
        else:
            cancelled_at = max(cancels[int(one.job_id)], at)
            after = [
                end
                for end, batch in simulation.batches
                if end > cancelled_at and any(name == one.job_id for name, _ in batch)
            ]
            assert len(after) <= 1  # the one that was under way


@pytest.mark.parametrize("which", MODELS)
@settings(max_examples=30, deadline=None)
@given(jobs=arrivals())
def test_a_turn_stays_within_the_target_unless_one_piece_alone_does_not(
    which: str, jobs: list[tuple[float, GenerateJob]]
) -> None:
    simulation = simulate(which)
    simulation.run(jobs)
    cost = CostModel(simulation.table)
    longest_s = max(
        max(
            cost.begin_s
            + cost.step_s(Load.of([simulation.model.num_tokens(one.width, one.height)])),
            cost.begin_s + cost.decode_s(one.width * one.height),
            cost.encode_s(one.width * one.height),
        )
        for _, one in jobs
    )
    assert max(simulation.turns) <= max(LIMITS.target_s, longest_s) + 1e-9


@settings(max_examples=15, deadline=None)
@given(
    steps=st.lists(st.lists(st.integers(1, 50), min_size=30, max_size=30), min_size=2, max_size=4),
    sides=st.lists(st.sampled_from([128, 256, 512]), min_size=4, max_size=4),
    from_images=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_tenants_with_work_waiting_get_the_same_within_the_bound(
    steps: list[list[int]], sides: list[int], from_images: list[bool]
) -> None:
    simulation = Simulation()
    cost = CostModel(simulation.table)
    for tenant, all_steps in enumerate(steps):
        for number, num_steps in enumerate(all_steps):
            side = sides[tenant]
            source = Source(image=b"", first_step=num_steps // 2) if from_images[tenant] else None
            simulation.core.handle(
                native(
                    simulation,
                    f"{tenant}.{number}",
                    num_steps,
                    tenant=str(tenant),
                    source=source,
                    width=side,
                    height=side,
                )
            )
    longest_plan_s, longest_piece_s = 0.0, cost.decode_s(512 * 512)
    while all(len(_waiting(simulation, str(tenant))) > 10 for tenant in range(len(steps))):
        before = Counter(simulation.served_s)
        simulation.turn()
        longest_plan_s = max(longest_plan_s, (simulation.served_s - before).total())
        had = [simulation.served_s[str(tenant)] for tenant in range(len(steps))]
        bound_s = ROUND_TARGETS * LIMITS.target_s + longest_plan_s + longest_piece_s
        assert max(had) - min(had) <= bound_s


@pytest.mark.parametrize("which", MODELS)
def test_pictures_to_begin_from_keep_the_steps_of_others_waiting_for_one_piece_at_most(
    which: str,
) -> None:
    simulation = simulate(which)
    simulation.core.handle(native(simulation, "long", 50))
    simulation.turn()
    source = Source(image=b"", first_step=10)
    for number in range(12):
        simulation.core.handle(native(simulation, str(number), 40, source=source, tenant="b"))
    width, height = simulation.model.size("1:1")
    most_s = LIMITS.target_s + CostModel(simulation.table).encode_s(width * height)
    for _ in range(20):
        before, num_batches = simulation.now, len(simulation.batches)
        while len(simulation.batches) == num_batches:
            simulation.turn()
        assert simulation.now - before <= most_s


def _waiting(simulation: Simulation, tenant: str) -> list[str]:
    return [
        request.job.job_id
        for request in simulation.scheduler.requests
        if request.job.tenant == tenant
    ]


@pytest.mark.parametrize("which", MODELS)
@pytest.mark.parametrize("tenant", ["the same", "another"])
def test_a_short_request_behind_eight_long_ones_takes_less_than_thrice_its_time_alone(
    which: str, tenant: str
) -> None:
    def long_ones(simulation: Simulation) -> list[tuple[float, GenerateJob]]:
        return [
            (
                0.0,
                native(
                    simulation,
                    f"long{n}",
                    50,
                    tenant="the same" if tenant == "the same" else str(n),
                ),
            )
            for n in range(8)
        ]

    empty = simulate(which)
    empty.run(long_ones(empty))
    short = native(empty, "short", 4, tenant=tenant)
    for moment in range(40):
        simulation = simulate(which, noise=0.1, seed=moment)
        at = empty.now * moment / 40
        simulation.run([*long_ones(simulation), (at, short)])
        assert simulation.ended["short"] - at <= 3 * empty.alone_s(short)


@pytest.mark.parametrize("which", MODELS)
def test_a_long_request_among_endless_short_ones_has_every_other_turn(which: str) -> None:
    simulation = simulate(which)
    short, long = native(simulation, "s", 4), native(simulation, "long", 50)
    alone_s, work_s = simulation.alone_s(short), simulation.alone_s(long)
    stream = [
        (n * alone_s / 2, native(simulation, f"s{n}", 4)) for n in range(int(8 * work_s / alone_s))
    ]
    simulation.run([(0.1, long), *stream])
    turns_s = 2 * long.num_steps * LIMITS.target_s
    assert simulation.ended["long"] <= turns_s + ROUND_TARGETS * LIMITS.target_s


def test_a_request_is_overtaken_only_by_those_that_come_soon_after_or_are_short() -> None:
    simulation = simulate("large")  # where nothing is gained by running two together
    first = native(simulation, "first", 50)
    work_s = simulation.alone_s(first)
    others = [(n * work_s / 4, native(simulation, str(n), 25)) for n in range(12)]
    simulation.run([(0.0, first), *others])
    late = [str(n) for n in range(12) if n / 4 > 1 / AGEING]
    assert simulation.ended["first"] < min(simulation.ended[name] for name in late)


def test_a_request_whose_deadline_is_near_goes_before_short_ones() -> None:
    simulation = simulate("large")
    hurried = native(simulation, "hurried", 50, timeout_s=12.0)
    longs = [(0.0, native(simulation, f"long{n}", 50)) for n in range(8)]
    shorts = [(n * 0.5, native(simulation, f"s{n}", 4)) for n in range(40)]
    simulation.run([(0.0, hurried), *longs, *shorts])
    assert isinstance(simulation.last["hurried"], Finished)


def test_a_request_that_cannot_keep_its_deadline_costs_no_work() -> None:
    simulation = Simulation()
    others = [(0.0, native(simulation, str(n), 50)) for n in range(30)]
    simulation.run([*others, (0.1, native(simulation, "late", 25, timeout_s=0.2))])
    last = simulation.last["late"]
    assert isinstance(last, Failed)
    assert last.code == "timeout"
    assert not simulation.steps_of("late")


def test_running_together_makes_more_pictures_where_it_pays_and_is_left_where_it_does_not() -> None:
    for which, fewest, most in (("embedded", 0.6, 0.85), ("large", 0.97, 1.03)):
        simulation = simulate(which)
        jobs = [(0.0, native(simulation, str(n), 25)) for n in range(8)]
        simulation.run(jobs)
        ratio = simulation.now / (8 * simulation.alone_s(jobs[0][1]))
        assert fewest < ratio < most
        assert math.isclose(simulation.busy_s, simulation.now)
