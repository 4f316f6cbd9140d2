"""When a job is refused because of the time that it would take."""

import pytest

from photogram.core.errors import DeadlineExceededError, EngineOverloadedError
from photogram.core.messages import Progress
from photogram.engine.outlook import Outlook
from tests.unit.engine.simulation import EMBEDDED, EMBEDDED_MODEL, LIMITS, Simulation, native


@pytest.fixture
def outlook() -> Outlook:
    outlook = Outlook(EMBEDDED_MODEL, LIMITS)
    outlook.learn(EMBEDDED)
    return outlook


SIMULATION = Simulation()
LONG = [native(SIMULATION, str(n), 50) for n in range(8)]


def test_every_job_has_a_forecast_until_it_ends(outlook: Outlook) -> None:
    assert outlook.forecast("0") is None
    for each in LONG:
        outlook.add(each)
    first = outlook.forecast("0")
    assert first is not None
    assert first.queue_position == 1
    outlook.start("0")
    started = outlook.forecast("0")
    assert started is not None
    assert started.queue_position == 0
    outlook.progress(Progress("0", 49, 50))
    outlook.remove("1")
    outlook.add(native(SIMULATION, "new", 50))
    assert outlook.forecast("1") is None
    assert outlook.forecast("new") is not None
    assert 0 < outlook.seconds_to_end() < first.finish_s


def test_an_idle_engine_has_a_place_at_once(outlook: Outlook) -> None:
    assert outlook.seconds_to_end() == 0


def test_a_job_that_is_in_time_is_let_in(outlook: Outlook) -> None:
    for each in LONG:
        outlook.check_deadline(each)
        outlook.add(each)
    outlook.check_deadline(native(SIMULATION, "patient", 25, timeout_s=300))
    outlook.check_deadline(native(SIMULATION, "short", 4, timeout_s=1))


def test_a_job_that_the_queue_would_make_late_is_told_when_to_come_back(outlook: Outlook) -> None:
    for each in LONG:
        outlook.add(each)
    late = native(SIMULATION, "late", 50, timeout_s=2)
    with pytest.raises(EngineOverloadedError) as refused:
        outlook.check_deadline(late)
    assert refused.value.error_code == "queue_full"
    assert refused.value.retry_after_s is not None
    assert 1 < refused.value.retry_after_s < 8


def test_a_job_that_would_be_late_even_alone_is_told_so(outlook: Outlook) -> None:
    with pytest.raises(DeadlineExceededError, match=r"about 0\.8 seconds"):
        outlook.check_deadline(native(SIMULATION, "late", 50, timeout_s=0.5))
