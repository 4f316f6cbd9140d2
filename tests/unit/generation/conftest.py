from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.storage.stocked import Stock, open_stock


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[Stock]:
    with open_stock(tmp_path / "test.sqlite3", amount_micro=1_000_000) as opened:
        yield opened
