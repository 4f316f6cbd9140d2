"""Many writers at once: exactly as many win as there are credits for."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from photogram.core.errors import ConflictError, InsufficientCreditsError
from photogram.generation import repository as jobs
from photogram.ledger import repository
from photogram.storage.database import Database
from tests.unit.storage.stocked import Stock, new_job, open_stock

NUM_CALLERS = 64
NUM_PAID = 10
PRICE_MICRO = 19_737


@pytest.mark.parametrize("num_connections", [1, 8])
def test_as_many_jobs_are_admitted_as_are_paid_for(tmp_path: Path, num_connections: int) -> None:
    path = tmp_path / "test.sqlite3"
    with open_stock(path, amount_micro=NUM_PAID * PRICE_MICRO + PRICE_MICRO // 2) as stock:
        databases = [Database.open(path, busy_timeout_s=30) for _ in range(num_connections)]

        def admit(caller: int) -> bool:
            database = databases[caller % num_connections]
            try:
                database.transact(jobs.admit, new_job(stock.customer, PRICE_MICRO))
            except InsufficientCreditsError:
                return False
            return True

        with ThreadPoolExecutor(NUM_CALLERS) as callers:
            won = list(callers.map(admit, range(NUM_CALLERS)))
        for database in databases:
            database.close()
        assert sum(won) == NUM_PAID
        assert stock.balance() == PRICE_MICRO // 2
        assert stock.ledger.check().is_ok


def test_of_many_who_resolve_one_hold_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "test.sqlite3"
    with open_stock(path, amount_micro=1_000) as stock:
        hold_id = stock.database.transact(
            repository.reserve, stock.customer.account_id, 1_000, "ref", "job"
        )
        databases = [Database.open(path, busy_timeout_s=30) for _ in range(8)]

        def settle(amount_micro: int) -> bool:
            try:
                databases[amount_micro % 8].transact(repository.settle, hold_id, amount_micro)
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(32) as callers:
            won = list(callers.map(settle, range(32)))
        for database in databases:
            database.close()
        assert sum(won) == 1
        assert stock.balance() == 1_000 - won.index(True)


def test_a_second_process_writes_at_the_same_time(tmp_path: Path) -> None:
    """What the CLI does beside a server: no grant and no job of either is lost."""
    path = tmp_path / "test.sqlite3"
    code = (
        "import sys; from pathlib import Path;"
        "from photogram.ledger.service import LedgerService;"
        "from photogram.storage.database import Database;"
        "database = Database.open(Path(sys.argv[1]), busy_timeout_s=30);"
        "ledger = LedgerService(database); print('open', flush=True);"
        "[ledger.grant(sys.argv[2], 7, actor='cli') for _ in range(100)]; database.close()"
    )
    with open_stock(path, amount_micro=100) as stock:
        argv = [sys.executable, "-c", code, str(path), stock.customer.account_id]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"open\n"
            for _ in range(100):
                _run_one_job(stock)
            assert other.wait() == 0
        assert stock.balance() == 100 + 100 * 7 - 100
        report = stock.ledger.check()
        assert report.violations == ()
        assert report.num_transfers == 1 + 100 + 200


def _run_one_job(stock: Stock) -> None:
    job_id = stock.admit(1)
    stock.database.transact(jobs.succeed, job_id, 1)
