from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from photogram.core.errors import (
    ConflictError,
    InsufficientCreditsError,
    NotFoundError,
    StorageError,
)
from photogram.ledger import repository
from photogram.ledger.entries import Balance
from tests.unit.storage.stocked import Stock, open_stock


@pytest.fixture
def stock(database_url: str) -> Iterator[Stock]:
    """Holds without jobs are all that may be wrong at the end."""
    with open_stock(database_url, amount_micro=1_000_000, is_whole=False) as opened:
        yield opened
        violations = opened.ledger.check().violations
        assert [words for words in violations if not words.endswith("has no job")] == []


def _reserve(stock: Stock, amount_micro: int, idem_ref: str = "ref") -> str:
    return stock.database.transact(
        repository.reserve, stock.customer.account_id, amount_micro, idem_ref, "job"
    )


def _settle(stock: Stock, hold_id: str, amount_micro: int) -> None:
    stock.database.transact(repository.settle, hold_id, amount_micro)


def _release(stock: Stock, hold_id: str) -> None:
    stock.database.transact(repository.release, hold_id, "test")


def test_a_hold_is_not_spendable(stock: Stock) -> None:
    _reserve(stock, 300_000)
    assert stock.balance() == 700_000


def test_settling_takes_what_was_used_and_gives_the_rest_back(stock: Stock) -> None:
    _settle(stock, _reserve(stock, 300_000), 200_000)
    assert stock.balance() == 800_000


def test_a_hold_may_be_settled_for_nothing(stock: Stock) -> None:
    _settle(stock, _reserve(stock, 300_000), 0)
    assert stock.balance() == 1_000_000


def test_nothing_may_be_held_and_settled(stock: Stock) -> None:
    _settle(stock, _reserve(stock, 0), 0)
    assert stock.balance() == 1_000_000


def test_releasing_gives_all_back(stock: Stock) -> None:
    _release(stock, _reserve(stock, 300_000))
    assert stock.balance() == 1_000_000


def test_too_little_is_told_with_balance_and_price(stock: Stock) -> None:
    _reserve(stock, 999_000)
    with pytest.raises(InsufficientCreditsError) as refused:
        _reserve(stock, 1_001, "other")
    assert refused.value.message == (
        "not enough credits: the balance is 0.001 credits, and this request costs 0.001001"
    )
    assert _reserve(stock, 1_000, "other")
    assert stock.balance() == 0


def test_the_same_reference_holds_once(stock: Stock) -> None:
    hold_id = _reserve(stock, 600_000)
    assert _reserve(stock, 600_000) == hold_id
    assert stock.balance() == 400_000
    with pytest.raises(ConflictError, match="another transfer's"):
        _reserve(stock, 1)


def test_a_hold_is_resolved_once(stock: Stock) -> None:
    settled, released = _reserve(stock, 300_000, "a"), _reserve(stock, 300_000, "b")
    _settle(stock, settled, 100_000)
    _release(stock, released)
    _settle(stock, settled, 100_000)
    _release(stock, released)
    with pytest.raises(ConflictError):
        _settle(stock, settled, 200_000)
    with pytest.raises(ConflictError):
        _release(stock, settled)
    with pytest.raises(ConflictError):
        _settle(stock, released, 300_000)
    assert stock.balance() == 900_000


def test_more_than_the_hold_cannot_be_settled(stock: Stock) -> None:
    hold_id = _reserve(stock, 300_000)
    with pytest.raises(ConflictError, match="300001 is more"):
        _settle(stock, hold_id, 300_001)
    assert stock.balance() == 700_000


def test_what_is_no_hold_cannot_be_resolved(stock: Stock) -> None:
    with pytest.raises(NotFoundError, match="no hold 'x'"):
        _settle(stock, "x", 1)
    hold_id = _reserve(stock, 1)
    _release(stock, hold_id)

    def end_of(connection: Connection) -> str:
        query = "SELECT id FROM transfer WHERE phase = 'void'"
        return str(connection.exec_driver_sql(query).scalar_one())

    with pytest.raises(NotFoundError):
        _release(stock, stock.database.transact(end_of))


@pytest.mark.parametrize("account_id", ["nobody", "issued", "revenue"])
def test_only_customers_have_a_balance(stock: Stock, account_id: str) -> None:
    with pytest.raises(NotFoundError):
        stock.database.transact(repository.available, account_id)
    with pytest.raises(NotFoundError):
        stock.database.transact(repository.reserve, account_id, 1, "ref", "job")


def _give_for_free(stock: Stock, amount_micro: int) -> None:
    stock.ledger.grant(stock.customer.account_id, amount_micro, actor="test", is_free=True)


async def _free(stock: Stock) -> Balance:
    return await stock.ledger.spendable(stock.customer.account_id)


async def test_free_credits_are_spent_first(stock: Stock) -> None:
    _give_for_free(stock, 500_000)
    assert await _free(stock) == Balance(1_500_000, 500_000)
    small, large = _reserve(stock, 200_000, "a"), _reserve(stock, 400_000, "b")
    assert await _free(stock) == Balance(900_000, 0)
    _settle(stock, large, 350_000)  # it held 300,000 free ones, which all go
    assert await _free(stock) == Balance(950_000, 0)
    _settle(stock, small, 50_000)
    assert await _free(stock) == Balance(1_100_000, 150_000)


async def test_a_released_hold_gives_free_credits_back_as_free(stock: Stock) -> None:
    _give_for_free(stock, 100)
    _release(stock, _reserve(stock, 300_000))
    assert await _free(stock) == Balance(1_000_100, 100)


def test_the_database_itself_refuses_to_spend_paid_credits_first(stock: Stock) -> None:
    _give_for_free(stock, 100)

    def hold(connection: Connection) -> None:
        connection.exec_driver_sql(
            "INSERT INTO transfer (id, debit_account_id, credit_account_id, amount_micro,"
            " free_micro, phase, idem_ref, actor, created_at)"
            " SELECT 'x', id, 'revenue', 50, 0, 'pending', 'x', 'x', created_at"
            " FROM account WHERE kind = 'customer'"
        )

    with pytest.raises(StorageError) as refused:
        stock.database.transact(hold)
    assert refused.value.error_code == "storage_integrity"
