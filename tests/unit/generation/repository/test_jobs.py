import pytest

from photogram.core.errors import ConflictError, InsufficientCreditsError
from photogram.generation import repository
from photogram.generation.states import JobState
from tests.unit.storage.stocked import Stock


def test_a_job_and_its_hold_are_opened_together(stock: Stock) -> None:
    job_id = stock.admit(400_000)
    assert stock.job(job_id) == ("queued", None)
    assert stock.balance() == 600_000
    assert stock.ledger.check().is_ok


def test_without_credits_no_job_is_written(stock: Stock) -> None:
    with pytest.raises(InsufficientCreditsError):
        stock.admit(1_000_001)
    assert not stock.states()


def test_a_job_succeeds_and_is_paid_for_together(stock: Stock) -> None:
    job_id = stock.admit(400_000)
    stock.database.transact(repository.start, job_id)
    assert stock.job(job_id) == ("running", None)
    assert stock.database.transact(repository.succeed, job_id, 300_000) == 700_000
    assert stock.job(job_id) == ("succeeded", None)
    assert stock.ledger.check().is_ok


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
@pytest.mark.parametrize("is_started", [True, False])
def test_a_job_fails_and_is_released_together(
    stock: Stock, state: JobState, is_started: bool
) -> None:
    job_id = stock.admit(400_000)
    if is_started:
        stock.database.transact(repository.start, job_id)
    stock.database.transact(repository.fail, job_id, state, "why")
    assert stock.job(job_id) == (state, "why")
    assert stock.balance() == 1_000_000
    assert stock.ledger.check().is_ok


def test_a_closed_job_stays_as_it_is(stock: Stock) -> None:
    job_id = stock.admit(400_000)
    stock.database.transact(repository.succeed, job_id, 400_000)
    with pytest.raises(ConflictError, match="is not open"):
        stock.database.transact(repository.fail, job_id, JobState.FAILED, "late")
    with pytest.raises(ConflictError, match="is not open"):
        stock.database.transact(repository.succeed, job_id, 400_000)
    stock.database.transact(repository.start, job_id)
    assert stock.job(job_id) == ("succeeded", None)
    assert stock.balance() == 600_000


def test_more_than_the_hold_closes_nothing(stock: Stock) -> None:
    job_id = stock.admit(400_000)
    with pytest.raises(ConflictError):
        stock.database.transact(repository.succeed, job_id, 400_001)
    assert stock.job(job_id) == ("queued", None)
