"""Many writers at once: exactly as many win as there are credits for."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from photogram.accounts.service import AccountService
from photogram.core.errors import ConflictError, InsufficientCreditsError
from photogram.generation.repository import jobs
from photogram.ledger import repository
from photogram.ledger.service import LedgerService
from photogram.storage.database import Database
from tests.unit.storage.stocked import PEPPER, Stock, new_job, open_stock, succeed

NUM_CALLERS = 64
NUM_PAID = 10
PRICE_MICRO = 19_737


@pytest.mark.parametrize("num_connections", [1, 8])
def test_as_many_jobs_are_admitted_as_are_paid_for(database_url: str, num_connections: int) -> None:
    """Half of what is paid for was given for free."""
    total_micro = NUM_PAID * PRICE_MICRO + PRICE_MICRO // 2
    with open_stock(database_url, amount_micro=total_micro // 2) as stock:
        account_id = stock.customer.account_id
        stock.ledger.grant(account_id, total_micro - total_micro // 2, actor="x", is_free=True)
        databases = [Database.open(database_url, patience_s=60) for _ in range(num_connections)]

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


def test_of_many_who_resolve_one_hold_one_wins(database_url: str) -> None:
    with open_stock(database_url, amount_micro=1_000, is_whole=False) as stock:
        hold_id = stock.database.transact(
            repository.reserve, stock.customer.account_id, 1_000, "ref", "job"
        )
        databases = [Database.open(database_url, patience_s=60) for _ in range(8)]

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


@pytest.mark.parametrize("is_same", [True, False])
def test_of_many_refunds_no_more_is_given_than_was_paid(database_url: str, is_same: bool) -> None:
    with open_stock(database_url, amount_micro=1_000) as stock:
        job_id = stock.admit(1_000)
        stock.database.transact(succeed, job_id, 1_000)
        databases = [Database.open(database_url, patience_s=60) for _ in range(4)]

        def refund(caller: int) -> bool:
            ledger = LedgerService(databases[caller % 4])
            idem_ref = "same" if is_same else None
            try:
                ledger.refund(job_id, 300, actor="test", reason="race", idem_ref=idem_ref)
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(16) as callers:
            won = list(callers.map(refund, range(16)))
        for database in databases:
            database.close()
        assert sum(won) == (16 if is_same else 3)
        assert stock.balance() == (300 if is_same else 900)


def test_of_many_who_grant_with_one_key_all_are_told_of_one_grant(database_url: str) -> None:
    with open_stock(database_url, amount_micro=1) as stock:
        databases = [Database.open(database_url, patience_s=60) for _ in range(4)]

        def grant(caller: int) -> int:
            ledger = LedgerService(databases[caller % 4])
            return ledger.grant(stock.customer.account_id, 7, actor="test", idem_ref="invoice-1")

        with ThreadPoolExecutor(16) as callers:
            assert set(callers.map(grant, range(16))) == {8}
        for database in databases:
            database.close()


def test_many_who_make_one_account_make_one(database_url: str) -> None:
    database = Database.open(database_url)
    accounts = AccountService(database, PEPPER)
    with ThreadPoolExecutor(16) as callers:
        assert len(set(callers.map(accounts.ensure_account, ["ann"] * 16))) == 1
    database.close()


def test_a_second_process_writes_at_the_same_time(database_url: str) -> None:
    """What the CLI does beside a server: no grant and no job of either is lost."""
    code = (
        "import sys;"
        "from photogram.ledger.service import LedgerService;"
        "from photogram.storage.database import Database;"
        "database = Database.open(sys.argv[1], patience_s=60);"
        "ledger = LedgerService(database); print('open', flush=True);"
        "[ledger.grant(sys.argv[2], 7, actor='cli') for _ in range(100)]; database.close()"
    )
    with open_stock(database_url, amount_micro=100) as stock:
        argv = [sys.executable, "-c", code, stock.url, stock.customer.account_id]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            while other.stdout.readline() != b"open\n":  # after what it logs
                assert other.poll() is None
            for _ in range(100):
                _run_one_job(stock)
            assert other.wait() == 0
        assert stock.balance() == 100 + 100 * 7 - 100
        report = stock.ledger.check()
        assert report.violations == ()
        assert report.num_transfers == 1 + 100 + 200


def _run_one_job(stock: Stock) -> None:
    job_id = stock.admit(1)
    stock.database.transact(succeed, job_id, 1)
