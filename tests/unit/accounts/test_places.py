"""How many jobs an account and its keys may have open at once, as the database knows it."""

import pytest

from photogram.accounts import repository
from photogram.accounts.models import Principal, Rights
from photogram.core.errors import RateLimitedError
from photogram.generation.repository import jobs
from photogram.generation.states import JobState
from tests.unit.storage.stocked import Stock, fail, new_job, start


def _check(
    stock: Stock, principal: Principal, of_account: int = 100, of_key: int | None = None
) -> None:
    stock.database.transact(
        lambda connection: repository.check_places(
            connection,
            principal.account_id,
            principal.key_id,
            of_account=of_account,
            of_key=of_key,
        )
    )


def test_open_jobs_count_and_closed_ones_do_not(stock: Stock) -> None:
    first, _ = stock.admit(1), stock.admit(1)
    stock.database.transact(start, first)
    _check(stock, stock.customer, of_account=3, of_key=3)
    with pytest.raises(RateLimitedError, match="this account already has 2 requests") as refused:
        _check(stock, stock.customer, of_account=2)
    assert refused.value.retry_after_s
    with pytest.raises(RateLimitedError, match="this key already has 1 requests"):
        _check(stock, stock.customer, of_key=1)
    stock.database.transact(fail, first, JobState.FAILED, "test")
    _check(stock, stock.customer, of_account=2, of_key=2)


def test_keys_count_alone_or_together(stock: Stock) -> None:
    stock.admit(1)
    limited = stock.accounts.create_key("ann", rights=Rights(jobs_at_once=1))
    successor = stock.accounts.rotate_key(limited.key_id, 60, actor="cli")
    holders = [
        Principal(stock.customer.account_id, key.key_id, key.info.counts_as)
        for key in (limited, successor)
    ]
    for holder in holders:
        _check(stock, holder, of_key=1)
    stock.database.transact(jobs.admit, new_job(holders[1], 1))
    for holder in holders:
        with pytest.raises(RateLimitedError, match="this key"):
            _check(stock, holder, of_key=1)
    bob = stock.accounts.create_key("bob")
    _check(stock, Principal(bob.info.account_id, bob.key_id), of_account=1, of_key=1)
