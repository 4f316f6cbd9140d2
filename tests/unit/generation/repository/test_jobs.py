from dataclasses import replace
from datetime import timedelta

import pytest

from photogram.core import ids
from photogram.core.errors import ConflictError, InsufficientCreditsError, StorageError
from photogram.generation.repository import jobs, servers
from photogram.generation.repository.jobs import FIRST_FENCE
from photogram.generation.states import JobState
from tests.unit.storage.stocked import FIGURES, Stock, execute, fail, new_job, start, succeed


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
    stock.database.transact(start, job_id)
    assert stock.job(job_id) == ("running", None)
    assert stock.database.transact(succeed, job_id, 300_000) == 700_000
    assert stock.job(job_id) == ("succeeded", None)
    assert stock.ledger.check().is_ok


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
@pytest.mark.parametrize("is_started", [True, False])
def test_a_job_fails_and_is_released_together(
    stock: Stock, state: JobState, is_started: bool
) -> None:
    job_id = stock.admit(400_000)
    if is_started:
        stock.database.transact(start, job_id)
    stock.database.transact(fail, job_id, state, "why")
    assert stock.job(job_id) == (state, "why")
    assert stock.balance() == 1_000_000
    assert stock.ledger.check().is_ok


def test_a_closed_job_stays_as_it_is(stock: Stock) -> None:
    job_id = stock.admit(400_000)
    stock.database.transact(succeed, job_id, 400_000)
    with pytest.raises(ConflictError, match="is not open"):
        stock.database.transact(fail, job_id, JobState.FAILED, "late")
    with pytest.raises(ConflictError, match="is not open"):
        stock.database.transact(succeed, job_id, 400_000)
    with pytest.raises(ConflictError, match="is not open"):
        stock.database.transact(start, job_id)
    assert stock.job(job_id) == ("succeeded", None)
    assert stock.balance() == 600_000


def test_more_than_the_hold_closes_nothing(stock: Stock) -> None:
    job_id = stock.admit(400_000)
    with pytest.raises(ConflictError):
        stock.database.transact(succeed, job_id, 400_001)
    assert stock.job(job_id) == ("queued", None)


def test_a_begun_attempt_is_counted_once(stock: Stock) -> None:
    job_id = stock.admit(1)
    assert stock.database.transact(start, job_id) == 1
    assert stock.database.transact(start, job_id) == 1
    fence = stock.database.transact(jobs.take, job_id, FIRST_FENCE, _server(stock))
    assert stock.job(job_id) == ("queued", None)
    assert stock.database.transact(jobs.start, job_id, fence) == 2


def test_a_job_that_is_left_in_order_has_that_attempt_to_begin_again(stock: Stock) -> None:
    job_id = stock.admit(1)
    stock.database.transact(start, job_id)
    stock.database.transact(jobs.leave, job_id, FIRST_FENCE)
    assert stock.job(job_id) == ("queued", None)
    fence = stock.database.transact(jobs.take, job_id, FIRST_FENCE + 1, _server(stock))
    stock.database.transact(jobs.leave, job_id, fence)  # before it was begun
    fence = stock.database.transact(jobs.take, job_id, fence + 1, _server(stock))
    assert stock.database.transact(jobs.start, job_id, fence) == 1


def test_who_has_lost_a_job_cannot_move_it(stock: Stock) -> None:
    job_id = stock.admit(1)
    stock.database.transact(start, job_id)
    server_id = _server(stock)
    fence = stock.database.transact(jobs.take, job_id, FIRST_FENCE, server_id)
    for change in (
        (start, job_id),
        (succeed, job_id, 1),
        (fail, job_id, JobState.FAILED, "late"),
        (jobs.leave, job_id, FIRST_FENCE),
        (jobs.take, job_id, FIRST_FENCE, _server(stock)),
    ):
        with pytest.raises(ConflictError, match="works elsewhere"):
            stock.database.transact(*change)  # type: ignore[arg-type]
    assert stock.job(job_id) == ("queued", None)
    stock.database.transact(jobs.succeed, job_id, fence, 1, FIGURES)
    assert stock.job(job_id) == ("succeeded", None)


def test_to_take_a_job_twice_is_to_take_it_once(stock: Stock) -> None:
    job_id, server_id = stock.admit(1), _server(stock)
    fences = {stock.database.transact(jobs.take, job_id, FIRST_FENCE, server_id) for _ in range(3)}
    assert fences == {FIRST_FENCE + 1}
    stock.database.transact(jobs.start, job_id, FIRST_FENCE + 1)
    with pytest.raises(ConflictError):
        stock.database.transact(jobs.take, job_id, FIRST_FENCE, server_id)


def test_an_attempt_is_never_taken_back_but_by_who_leaves(stock: Stock) -> None:
    job_id = stock.admit(1)
    stock.database.transact(start, job_id)
    for change in (
        "UPDATE job SET attempt = 0",
        "UPDATE job SET fence = 0",
        "UPDATE job SET attempt = 0, state = 'queued'",
    ):
        with pytest.raises(StorageError, match="refused"):
            stock.database.transact(execute, change)


def test_a_key_spends_no_more_than_its_cap(stock: Stock) -> None:
    def admit(cost_micro: int) -> str:
        job = replace(new_job(stock.customer, cost_micro), spend_cap_micro=100)
        stock.database.transact(jobs.admit, job)
        return job.id

    stock.database.transact(succeed, admit(60), 50)
    held = admit(50)
    with pytest.raises(InsufficientCreditsError, match="spend cap"):
        admit(1)
    stock.database.transact(fail, held, JobState.FAILED, "test")
    admit(50)
    assert stock.ledger.check().violations == ()


def _server(stock: Stock) -> str:
    server_id = ids.new_id()
    stock.database.transact(servers.register, server_id, timedelta(seconds=15))
    return server_id
