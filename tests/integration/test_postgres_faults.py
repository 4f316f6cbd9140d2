"""A PostgreSQL that crashes and comes back under load: nothing acknowledged is lost."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from photogram.core.errors import StorageError
from photogram.generation.repository import jobs
from tests.postgres import Cluster
from tests.unit.storage.stocked import Stock, new_job, open_stock, succeed, take_over_all

_NUM_CALLERS = 4


class _Load:
    """Callers who admit and settle jobs one after the other, and keep what they were told."""

    def __init__(self, stock: Stock) -> None:
        self.admitted: set[str] = set()
        self.succeeded: set[str] = set()
        self.refused: list[StorageError] = []
        self.is_over = threading.Event()
        self._stock = stock

    def run(self) -> None:
        while not self.is_over.is_set():
            job = new_job(self._stock.customer, 10)
            try:
                self._stock.database.transact(jobs.admit, job)
                self.admitted.add(job.id)
                self._stock.database.transact(succeed, job.id, 7)
                self.succeeded.add(job.id)
            except StorageError as error:
                self.refused.append(error)

    def wait_for_more(self, num_jobs: int) -> None:
        wanted, deadline = len(self.succeeded) + num_jobs, time.monotonic() + 60
        while len(self.succeeded) < wanted:
            assert time.monotonic() < deadline, "no job succeeds any more"
            time.sleep(0.01)


def test_a_crash_of_the_database_under_load_loses_nothing_acknowledged() -> None:
    with (
        Cluster.running() as cluster,
        cluster.database() as url,
        open_stock(url, amount_micro=10**9) as stock,
        ThreadPoolExecutor(_NUM_CALLERS) as callers,
    ):
        load = _Load(stock)
        running = [callers.submit(load.run) for _ in range(_NUM_CALLERS)]
        try:
            for how in (signal.SIGQUIT, signal.SIGINT):
                load.wait_for_more(10)
                cluster.stop(how)
                cluster.start()
            load.wait_for_more(10)
        finally:
            load.is_over.set()
        for caller in running:
            caller.result()
        assert all(error.retry_after_s is not None for error in load.refused)
        assert stock.ledger.check().violations == ()
        take_over_all(stock.database)
        assert {stock.job(job_id)[0] for job_id in load.succeeded} == {"succeeded"}
        for job_id in load.admitted - load.succeeded:
            assert stock.job(job_id)[0] in {"succeeded", "failed"}
        assert stock.balance() == 10**9 - 7 * stock.states()["succeeded"]
