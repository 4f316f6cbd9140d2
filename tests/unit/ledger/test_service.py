import asyncio

import pytest

from photogram.core.errors import ConflictError, InvalidRequestError, NotFoundError
from photogram.generation.states import JobState
from photogram.ledger.entries import Balance
from tests.unit.storage.stocked import Stock, execute, fail, succeed


async def test_a_grant_is_at_once_spendable(stock: Stock) -> None:
    account_id = stock.customer.account_id
    assert stock.ledger.grant(account_id, 500_000, actor="test") == 1_500_000
    assert stock.ledger.balance(account_id) == 1_500_000
    assert await stock.ledger.remaining(account_id) == 1_500_000


def test_the_same_reference_gives_once(stock: Stock) -> None:
    account_id = stock.customer.account_id
    for _ in range(2):
        assert stock.ledger.grant(account_id, 5, actor="test", idem_ref="order-7") == 1_000_005
    with pytest.raises(ConflictError):
        stock.ledger.grant(account_id, 6, actor="test", idem_ref="order-7")


@pytest.mark.parametrize("amount_micro", [0, -1, 10**15 + 1])
def test_absurd_grants_are_refused(stock: Stock, amount_micro: int) -> None:
    with pytest.raises(InvalidRequestError, match="above 0 and at most"):
        stock.ledger.grant(stock.customer.account_id, amount_micro, actor="test")


async def test_an_unknown_account_is_named(stock: Stock) -> None:
    with pytest.raises(NotFoundError, match="'nobody'"):
        stock.ledger.grant("nobody", 1, actor="test")
    with pytest.raises(NotFoundError, match="'nobody'"):
        await stock.ledger.remaining("nobody")


def test_a_free_grant_is_no_repetition_of_a_paid_one(stock: Stock) -> None:
    account_id = stock.customer.account_id
    stock.ledger.grant(account_id, 5, actor="test", idem_ref="order-7")
    with pytest.raises(ConflictError):
        stock.ledger.grant(account_id, 5, actor="test", idem_ref="order-7", is_free=True)


def _paid_job(stock: Stock, held_micro: int, cost_micro: int) -> str:
    job_id = stock.admit(held_micro)
    stock.database.transact(succeed, job_id, cost_micro)
    return job_id


async def test_a_refund_gives_paid_credits_back_first(stock: Stock) -> None:
    account_id = stock.customer.account_id
    stock.ledger.grant(account_id, 500, actor="test", is_free=True)
    job_id = _paid_job(stock, 900, 800)  # 500 free and 300 paid
    assert await stock.ledger.spendable(account_id) == Balance(999_700, 0)
    assert stock.ledger.refund(job_id, 200, actor="test", reason="blurred") == 200
    assert await stock.ledger.spendable(account_id) == Balance(999_900, 0)
    assert stock.ledger.refund(job_id, 150, actor="test", reason="blurred") == 150
    assert await stock.ledger.spendable(account_id) == Balance(1_000_050, 50)
    assert stock.ledger.refund(job_id, actor="test", reason="blurred") == 450
    assert await stock.ledger.spendable(account_id) == Balance(1_000_500, 500)


def test_no_more_is_refunded_than_was_paid(stock: Stock) -> None:
    job_id = _paid_job(stock, 900, 800)
    with pytest.raises(ConflictError, match=r"0\.0008 credits can be given back"):
        stock.ledger.refund(job_id, 801, actor="test", reason="x")
    stock.ledger.refund(job_id, 800, actor="test", reason="x")
    for amount_micro in (1, 0, -1, None):
        with pytest.raises(ConflictError, match="0 credits can be given back"):
            stock.ledger.refund(job_id, amount_micro, actor="test", reason="x")
    assert stock.balance() == 1_000_000


def test_the_same_refund_again_gives_nothing_more(stock: Stock) -> None:
    job_id = _paid_job(stock, 900, 800)
    for amount_micro in (None, None, 800):
        given = stock.ledger.refund(
            job_id, amount_micro, actor="test", reason="x", idem_ref="case-7"
        )
        assert given == 800
    with pytest.raises(ConflictError, match="another transfer's"):
        stock.ledger.refund(job_id, 1, actor="test", reason="x", idem_ref="case-7")
    assert stock.balance() == 1_000_000


def test_what_was_not_paid_cannot_be_refunded(stock: Stock) -> None:
    with pytest.raises(NotFoundError, match="no job 'nothing'"):
        stock.ledger.refund("nothing", actor="test", reason="x")
    failed = stock.admit(10)
    with pytest.raises(ConflictError, match="has cost nothing"):
        stock.ledger.refund(failed, actor="test", reason="x")
    stock.database.transact(fail, failed, JobState.FAILED, "test")
    with pytest.raises(ConflictError, match="has cost nothing"):
        stock.ledger.refund(failed, actor="test", reason="x")


def test_a_check_counts_what_it_has_proved(stock: Stock) -> None:
    stock.admit(1)
    report = stock.ledger.check()
    assert report.is_ok
    assert report.violations == ()
    assert (report.num_accounts, report.num_transfers, report.num_open_holds) == (1, 2, 1)


async def test_a_watch_goes_on_and_tells_what_does_not_hold(
    breakable_stock: Stock, capsys: pytest.CaptureFixture[str]
) -> None:
    is_sqlite = breakable_stock.url.startswith("sqlite")
    watching = asyncio.create_task(breakable_stock.ledger.watch(0.01))
    place = "" if is_sqlite else " ON transfer"
    await breakable_stock.database.run(execute, f"DROP TRIGGER transfer_never_goes{place}")
    told = await _logged(capsys, "the guard transfer_never_goes is missing")
    assert "the_ledger_does_not_hold" in told
    await breakable_stock.database.run(execute, "ALTER TABLE job RENAME TO gone")
    assert "the_ledger_was_not_checked" in await _logged(capsys, "the_ledger_was_not_checked")
    await breakable_stock.database.run(execute, "ALTER TABLE gone RENAME TO job")
    await _logged(capsys, "the_ledger_does_not_hold")
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def _logged(capsys: pytest.CaptureFixture[str], words: str) -> str:
    """What is logged from now on until these words are."""
    logged = ""
    async with asyncio.timeout(30):
        while words not in logged:
            await asyncio.sleep(0.01)
            logged += capsys.readouterr().out
    return logged
