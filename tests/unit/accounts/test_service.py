import pytest

from photogram.accounts import keys
from photogram.accounts.service import AccountService
from photogram.core.errors import (
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    StorageError,
)
from photogram.storage.database import Database
from tests.unit.storage.stocked import PEPPER, Stock


async def _code_of(accounts: AccountService, token: str | None) -> str:
    with pytest.raises(AuthenticationError) as refused:
        await accounts.authenticate(token)
    return refused.value.error_code


async def test_a_new_key_opens_its_account(stock: Stock) -> None:
    key = stock.accounts.create_key("bob")
    principal = await stock.accounts.authenticate(key.token)
    assert principal.key_id == key.key_id
    assert principal.account_id == stock.accounts.account_id("bob")


async def test_no_key_is_told_from_a_wrong_one(stock: Stock) -> None:
    assert await _code_of(stock.accounts, None) == "missing_api_key"
    assert await _code_of(stock.accounts, "") == "missing_api_key"
    assert await _code_of(stock.accounts, "wrong") == "invalid_api_key"
    _, unknown = keys.new_token()
    assert await _code_of(stock.accounts, unknown) == "invalid_api_key"


async def test_a_token_with_another_keys_id_opens_nothing(stock: Stock) -> None:
    key = stock.accounts.create_key("bob")
    _, other = keys.new_token()
    body = f"phg_live_{key.key_id}_{other.split('_')[3][:43]}"
    forged = body + keys._checksum(body)
    assert keys.key_id_of(forged) == key.key_id
    assert await _code_of(stock.accounts, forged) == "invalid_api_key"


async def test_a_bad_shape_is_refused_without_the_database(stock: Stock) -> None:
    closed = Database.open(stock.url)
    closed.close()
    assert await _code_of(AccountService(closed, PEPPER), "phg_live_typo") == "invalid_api_key"


async def test_a_revocation_by_another_process_takes_effect_at_once(stock: Stock) -> None:
    key = stock.accounts.create_key("bob")
    await stock.accounts.authenticate(key.token)
    other = Database.open(stock.url)
    AccountService(other, PEPPER).revoke_key(key.key_id)
    other.close()
    assert await _code_of(stock.accounts, key.token) == "invalid_api_key"


async def test_another_pepper_opens_nothing(stock: Stock) -> None:
    key = stock.accounts.create_key("bob")
    assert await _code_of(AccountService(stock.database, b"q" * 32), key.token) == "invalid_api_key"


async def test_a_database_in_trouble_is_no_wrong_key(breakable_stock: Stock) -> None:
    key = breakable_stock.accounts.create_key("bob")
    breakable_stock.database.transact(
        lambda connection: connection.exec_driver_sql("ALTER TABLE api_key RENAME TO gone").close()
    )
    with pytest.raises(StorageError):
        await breakable_stock.accounts.authenticate(key.token)


def test_keys_are_listed_oldest_first_and_without_secrets(stock: Stock) -> None:
    new = [stock.accounts.create_key(name) for name in ("bob", "cid", "bob")]
    listed = stock.accounts.list_keys()
    assert [key.key_id for key in listed[1:]] == [key.key_id for key in new]
    assert [key.account_name for key in listed] == ["ann", "bob", "cid", "bob"]
    assert [key.key_id for key in stock.accounts.list_keys("bob")] == [new[0].key_id, new[2].key_id]
    assert all(key.token not in repr(listed) for key in new)
    assert all(key.created_at.tzinfo is not None for key in listed)


def test_revoking_again_keeps_the_first_instant(stock: Stock) -> None:
    key = stock.accounts.create_key("bob")
    stock.accounts.revoke_key(key.key_id)
    (first,) = stock.accounts.list_keys("bob")
    stock.accounts.revoke_key(key.key_id)
    assert stock.accounts.list_keys("bob") == [first]
    assert first.revoked_at is not None


def test_what_is_not_there_is_named(stock: Stock) -> None:
    with pytest.raises(NotFoundError, match="no key 'abc'"):
        stock.accounts.revoke_key("abc")
    with pytest.raises(NotFoundError, match="no account 'zoe'"):
        stock.accounts.account_id("zoe")
    with pytest.raises(NotFoundError, match="no account 'zoe'"):
        stock.accounts.list_keys("zoe")


def test_an_account_is_made_once(stock: Stock) -> None:
    assert stock.accounts.ensure_account("bob") == stock.accounts.ensure_account("bob")
    assert stock.accounts.list_keys("bob") == []


@pytest.mark.parametrize("name", ["a", "7", "ann", "Ann.B-2_x@example.org", "x" * 64])
def test_sane_names_are_taken(stock: Stock, name: str) -> None:
    assert stock.accounts.create_key(name).account_name == name


@pytest.mark.parametrize("name", ["", " ", "-ann", "a b", "ann\n", "x" * 65, "анна", "a/b", "\x00"])
def test_other_names_are_refused(stock: Stock, name: str) -> None:
    with pytest.raises(InvalidRequestError, match="cannot name an account"):
        stock.accounts.create_key(name)
    with pytest.raises(InvalidRequestError, match="cannot name an account"):
        stock.accounts.ensure_account(name)
