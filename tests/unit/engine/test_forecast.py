"""Forecasts beside what then happens, on a pretended device."""

import numpy as np
import pytest

from photogram.core.messages import Forecast, GenerateJob, Source
from photogram.engine.cost import CostModel
from photogram.engine.forecast import MOST_PLAYED, forecast
from photogram.engine.request import Request
from tests.unit.engine.simulation import LIMITS, Simulation, native


def mixed_jobs(simulation: Simulation, seed: int, number: int) -> list[tuple[float, GenerateJob]]:
    rng = np.random.default_rng(seed)
    return [
        (
            float(rng.uniform(0, 2)),
            native(
                simulation,
                str(n),
                int(rng.integers(1, 51)),
                width=int(rng.choice([128, 256])),
                seeds=tuple(range(rng.integers(1, 4))),
                tenant=str(rng.integers(2)),
                source=Source(image=b"", first_step=0) if n % 2 else None,
            ),
        )
        for n in range(number)
    ]


def foretell(simulation: Simulation) -> dict[str, Forecast]:
    """As the API process does: from the jobs, their arrival, and the progress of their slowest."""
    requests = []
    for running in simulation.scheduler.requests:
        is_begun = running.started_at is not None
        request = Request(running.job, running.num_tokens, running.arrived_at, is_encoded=is_begun)
        for sample in request.samples:
            sample.step, sample.is_begun = running.step, is_begun
        requests.append(request)
    cost = CostModel(simulation.scheduler.cost.table)
    return forecast(requests, cost, LIMITS, simulation.now)


@pytest.mark.parametrize("first_step", [None, 0, 24, 25])
def test_a_lone_job_starts_at_once_and_takes_its_own_time(first_step: int | None) -> None:
    simulation = Simulation()
    source = None if first_step is None else Source(image=b"", first_step=first_step)
    one = native(simulation, "a", 25, source=source)
    simulation.core.handle(one)
    told = foretell(simulation)["a"]
    assert (told.queue_position, told.start_s) == (1, 0.0)
    assert told.finish_s == pytest.approx(simulation.alone_s(one))


def test_positions_are_those_in_which_jobs_start() -> None:
    simulation = Simulation()
    for name in ("a", "b", "c"):
        simulation.core.handle(native(simulation, name, 50, seeds=tuple(range(20))))
    simulation.turn()
    told = foretell(simulation)
    assert [told[name].queue_position for name in ("a", "b", "c")] == [0, 1, 2]
    assert 0 < told["b"].start_s < told["c"].start_s < told["c"].finish_s


def test_there_is_nothing_to_tell_of_an_idle_engine() -> None:
    assert foretell(Simulation()) == {}


def test_forecasts_in_the_midst_of_mixed_work_come_true() -> None:
    errors = []
    for seed in range(10):
        simulation = Simulation(noise=0.2, seed=seed)
        for at, one in mixed_jobs(simulation, seed, 12):
            if at < 1.0:
                simulation.core.handle(one)
        for _ in range(10):
            simulation.turn()
        at, told = simulation.now, foretell(simulation)
        simulation.run([])
        for job_id, each in told.items():
            actual_s = simulation.ended[job_id] - at
            errors.append((each.finish_s - actual_s) / actual_s)
    assert len(errors) > 30
    assert np.median(np.abs(errors)) < 0.1
    assert np.quantile(np.abs(errors), 0.9) < 0.35


@pytest.mark.parametrize("num_tenants", [1, 4])
def test_a_long_queue_is_estimated_and_ends_as_foretold(num_tenants: int) -> None:
    simulation = Simulation()
    for n in range(4 * MOST_PLAYED):
        tenant = str(n % num_tenants)
        simulation.core.handle(native(simulation, str(n), 10 + n % 40, tenant=tenant))
    told = foretell(simulation)
    assert sorted(each.queue_position for each in told.values()) == list(range(1, len(told) + 1))
    simulation.run([])
    errors = [each.finish_s / simulation.ended[job_id] - 1 for job_id, each in told.items()]
    assert np.median(np.abs(errors)) < 0.3
    assert max(each.finish_s for each in told.values()) == pytest.approx(simulation.now, rel=0.1)


def test_a_short_job_of_another_tenant_does_not_wait_for_a_long_queue() -> None:
    simulation = Simulation()
    for n in range(4 * MOST_PLAYED):
        simulation.core.handle(native(simulation, str(n), 50))
    simulation.core.handle(native(simulation, "short", 4, tenant="another"))
    told = foretell(simulation)["short"]
    assert told.finish_s < 2.0 < simulation.alone_s(native(simulation, "x", 50)) * MOST_PLAYED
