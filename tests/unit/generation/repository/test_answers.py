from dataclasses import replace

import pytest

from photogram.core.errors import ConflictError
from photogram.generation.orders import IdempotencyKey
from photogram.generation.repository import answers, jobs
from photogram.generation.repository.jobs import NewJob
from photogram.generation.states import JobState
from tests.unit.storage.stocked import Stock, execute, fail, new_job, succeed

KEY = IdempotencyKey("key", "print")


def _keyed(stock: Stock) -> NewJob:
    return replace(new_job(stock.customer, 10), idempotency=KEY)


def _find(stock: Stock, key: IdempotencyKey = KEY) -> str | None:
    return stock.database.transact(answers.find, stock.customer.account_id, key, readonly=True)


def _admit(stock: Stock) -> str:
    job = _keyed(stock)
    assert stock.database.transact(jobs.admit, job) is None
    return job.id


def test_a_key_leads_to_its_job_once_that_has_succeeded(stock: Stock) -> None:
    assert _find(stock) is None
    job_id = _admit(stock)
    with pytest.raises(ConflictError, match="under way"):
        _find(stock)
    stock.database.transact(succeed, job_id, 10)
    assert _find(stock) == job_id
    assert stock.database.transact(jobs.admit, _keyed(stock)) == job_id
    assert stock.states() == {"succeeded": 1}
    assert stock.balance() == 1_000_000 - 10


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_a_key_of_a_job_without_pictures_is_free_again(stock: Stock, state: JobState) -> None:
    stock.database.transact(fail, _admit(stock), state, "test")
    assert _find(stock) is None
    job_id = _admit(stock)
    stock.database.transact(succeed, job_id, 10)
    assert _find(stock) == job_id


def test_a_key_that_has_expired_is_free_again(stock: Stock) -> None:
    first = _admit(stock)
    stock.database.transact(succeed, first, 10)
    stock.database.transact(execute, "UPDATE idempotency SET expires_at = '2020-01-01 00:00:00'")
    assert _find(stock) is None
    second = _admit(stock)
    stock.database.transact(succeed, second, 10)
    assert _find(stock) == second != first


def test_another_request_with_the_key_is_refused_whatever_became_of_the_first(
    stock: Stock,
) -> None:
    other = IdempotencyKey("key", "other")
    job_id = _admit(stock)
    with pytest.raises(ConflictError, match="another request"):
        _find(stock, other)
    stock.database.transact(fail, job_id, JobState.FAILED, "test")
    with pytest.raises(ConflictError, match="another request"):
        _find(stock, other)


def test_what_is_old_is_forgotten_and_nothing_else(stock: Stock) -> None:
    stock.database.transact(succeed, _admit(stock), 10)
    assert stock.database.transact(answers.forget_old) == 0
    stock.database.transact(execute, "UPDATE idempotency SET expires_at = '2020-01-01 00:00:00'")
    assert stock.database.transact(answers.forget_old) == 1
