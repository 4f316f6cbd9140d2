import pytest

from photogram.core.errors import ConflictError, InvalidRequestError, NotFoundError
from tests.unit.storage.stocked import Stock


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


def test_a_check_counts_what_it_has_proved(stock: Stock) -> None:
    stock.admit(1)
    report = stock.ledger.check()
    assert report.is_ok
    assert report.violations == ()
    assert (report.num_accounts, report.num_transfers, report.num_open_holds) == (1, 2, 1)
