"""What accounts have uploaded, on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from photogram.core import clock
from photogram.core.errors import PayloadTooLargeError
from photogram.generation.records import StoredFile
from photogram.generation.repository import assets
from tests.unit.storage.stocked import Stock


def test_of_many_uploads_at_once_no_more_are_kept_than_may_be(stock: Stock) -> None:
    tomorrow = clock.now() + timedelta(days=1)
    barrier = threading.Barrier(6)

    def add(number: int) -> bool:
        file = StoredFile(f"{number}.png", "image/png", 10, "", tomorrow)
        barrier.wait()
        try:
            stock.database.transact(assets.add, stock.customer.account_id, [file], 25)
        except PayloadTooLargeError:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(add, range(6))) == 2
