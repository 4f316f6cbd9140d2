"""An account's webhooks, on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from photogram.core.errors import InvalidRequestError
from photogram.webhooks.models import Webhook
from photogram.webhooks.repository import registered
from photogram.webhooks.repository.registered import MAX_KEPT_WEBHOOKS, MAX_WEBHOOKS
from tests.unit.storage.stocked import Stock

WORDS = ("https://example.com/hook", ("*",))


def _add(stock: Stock) -> Webhook:
    account_id = stock.customer.account_id
    return stock.database.transact(registered.add_webhook, account_id, *WORDS, "secret")


def _switch_off(stock: Stock, webhook: Webhook) -> None:
    stock.database.transact(registered.switch_off, stock.customer.account_id, webhook.id)


def test_of_many_at_once_no_more_are_on_than_may_be(stock: Stock) -> None:
    off = _add(stock)
    _switch_off(stock, off)
    for _ in range(MAX_WEBHOOKS - 3):
        _add(stock)
    barrier = threading.Barrier(8)

    def switch_on(number: int) -> bool:
        barrier.wait()
        try:
            if number:
                _add(stock)
            else:
                stock.database.transact(
                    registered.change_webhook, stock.customer.account_id, off.id, *WORDS
                )
        except InvalidRequestError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(switch_on, range(8))) == 3


def test_those_that_are_off_have_an_end_too(stock: Stock) -> None:
    for _ in range(MAX_KEPT_WEBHOOKS):
        last = _add(stock)
        _switch_off(stock, last)
    with pytest.raises(InvalidRequestError, match="at most 100 webhooks"):
        _add(stock)
    changed = stock.database.transact(
        registered.change_webhook, stock.customer.account_id, last.id, *WORDS
    )
    assert changed.is_active
