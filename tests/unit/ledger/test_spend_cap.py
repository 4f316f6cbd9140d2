"""What a key may spend in all, decided where its jobs are admitted; on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from photogram.accounts.models import Principal, Rights
from photogram.core.errors import InsufficientCreditsError
from photogram.generation.repository import jobs
from photogram.generation.states import JobState
from tests.unit.storage.stocked import Stock, execute, fail, new_job, succeed

CAP_MICRO = 1_000


@pytest.fixture
def capped(stock: Stock) -> Principal:
    key = stock.accounts.create_key("ann", rights=Rights(spend_cap_micro=CAP_MICRO))
    return Principal(key.info.account_id, key.key_id, spend_cap_micro=CAP_MICRO)


def _admit(stock: Stock, principal: Principal, cost_micro: int) -> str:
    job = replace(new_job(principal, cost_micro), spend_cap_micro=principal.spend_cap_micro)
    stock.database.transact(jobs.admit, job)
    return job.id


def test_what_is_held_counts_and_what_was_released_does_not(
    stock: Stock, capped: Principal
) -> None:
    job_id = _admit(stock, capped, 600)
    with pytest.raises(InsufficientCreditsError):
        _admit(stock, capped, 401)
    stock.database.transact(fail, job_id, JobState.FAILED, "test")
    _admit(stock, capped, CAP_MICRO)
    with pytest.raises(InsufficientCreditsError):
        _admit(stock, capped, 1)


def test_what_is_settled_counts_and_the_rest_of_a_hold_does_not(
    stock: Stock, capped: Principal
) -> None:
    stock.database.transact(succeed, _admit(stock, capped, 600), 250)
    _admit(stock, capped, 750)
    with pytest.raises(InsufficientCreditsError) as refused:
        _admit(stock, capped, 1)
    assert refused.value.message == (
        "this key's spend cap is 0.001 credits, of which 0.001 are spent or held, and this request"
        " costs 0.000001; the account itself may have more credits"
    )
    (info,) = [info for info in stock.accounts.list_keys() if info.key_id == capped.key_id]
    assert info.settled_micro == 250


def test_a_refusal_holds_nothing(stock: Stock, capped: Principal) -> None:
    before = stock.balance()
    with pytest.raises(InsufficientCreditsError):
        _admit(stock, capped, CAP_MICRO + 1)
    assert stock.balance() == before
    assert stock.ledger.check().num_open_holds == 0


def test_a_refund_does_not_give_the_cap_back(stock: Stock, capped: Principal) -> None:
    job_id = _admit(stock, capped, CAP_MICRO)
    stock.database.transact(succeed, job_id, CAP_MICRO)
    stock.ledger.refund(job_id, actor="test", reason="blurred")
    with pytest.raises(InsufficientCreditsError):
        _admit(stock, capped, 1)


def test_other_keys_of_the_account_have_the_account(stock: Stock, capped: Principal) -> None:
    _admit(stock, stock.customer, 500_000)
    _admit(stock, capped, CAP_MICRO)
    _admit(stock, stock.customer, 400_000)


def test_keys_that_count_together_have_one_cap(stock: Stock, capped: Principal) -> None:
    """Neither a rotation nor a key that the key makes gives it more."""
    stock.database.transact(succeed, _admit(stock, capped, 400), 400)
    successor = stock.accounts.rotate_key(capped.key_id, 60, actor="cli")
    child = stock.accounts.make_key(capped, None, {})
    for key in (successor, child):
        principal = replace(capped, key_id=key.key_id, counts_as=key.info.counts_as)
        with pytest.raises(InsufficientCreditsError):
            _admit(stock, principal, 601)
        _admit(stock, principal, 300)
    with pytest.raises(InsufficientCreditsError):
        _admit(stock, capped, 1)


def test_of_many_at_once_no_more_pass_than_the_cap_pays_for(
    stock: Stock, capped: Principal
) -> None:
    barrier = threading.Barrier(16)

    def try_it(_: int) -> bool:
        barrier.wait()
        try:
            _admit(stock, capped, 200)
        except InsufficientCreditsError:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(try_it, range(16))) == 5


def test_a_wrong_count_is_found(breakable_stock: Stock) -> None:
    stock = breakable_stock
    stock.database.transact(succeed, stock.admit(5), 5)
    stock.database.transact(execute, "UPDATE api_key SET settled_micro = 4")
    (words,) = stock.ledger.check().violations
    assert words == f"key {stock.customer.key_id} has not spent what its jobs have cost"
