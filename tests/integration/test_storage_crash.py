"""Killing a server in the middle of its transactions loses nothing that it had said was done."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from photogram.generation.recovery import recover
from tests.unit.storage.stocked import Stock, open_stock

NUM_KILLS = 8

# Admits and ends jobs as fast as it can, and says so after each transaction.
_SERVER = """
import random, sys
from pathlib import Path
from photogram.accounts.models import Principal
from photogram.generation import repository as jobs
from photogram.generation.states import JobState
from photogram.storage.database import Database
from photogram.storage.folder import DataFolder
from tests.unit.storage.stocked import new_job

folder = DataFolder.open(Path(sys.argv[1]))
folder.lock()
database = Database.open(folder.database_path)
while True:
    job = new_job(Principal(sys.argv[2], sys.argv[3]), 10)
    database.transact(jobs.admit, job)
    print("admitted", job.id, flush=True)
    if random.random() < 0.5:
        database.transact(jobs.succeed, job.id, 7)
        print("succeeded", job.id, flush=True)
    elif random.random() < 0.5:
        database.transact(jobs.fail, job.id, JobState.FAILED, "test")
        print("failed", job.id, flush=True)
"""


def test_killed_servers_leave_whole_ledgers(tmp_path: Path) -> None:
    told: dict[str, str] = {}
    delays = random.Random(1)  # noqa: S311 - the same delays in every run
    with open_stock(tmp_path / "photogram.sqlite3", amount_micro=10_000_000) as stock:
        for _ in range(NUM_KILLS):
            told |= _serve_and_kill(tmp_path, stock, delays.uniform(0.0, 0.15))
            assert stock.ledger.check().violations == ()
            num_open = stock.ledger.check().num_open_holds
            assert recover(stock.database) == num_open
            report = stock.ledger.check()
            assert report.violations == ()
            assert report.num_open_holds == 0
        assert len(told) > NUM_KILLS
        for job_id, last_word in told.items():
            state, code = stock.job(job_id)
            if last_word == "admitted":
                # It may have gone on before it could say so.
                assert (state, code) in {("failed", "server_restarted"), ("failed", "test")} or (
                    state == "succeeded"
                )
            else:
                assert state == last_word
        assert stock.balance() == 10_000_000 - 7 * stock.states()["succeeded"]


def _serve_and_kill(data: Path, stock: Stock, delay_s: float) -> dict[str, str]:
    """Run a server for a moment; returns each job's last word."""
    customer = stock.customer
    argv = [sys.executable, "-c", _SERVER, str(data), customer.account_id, customer.key_id]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        lines = [server.stdout.readline()]
        time.sleep(delay_s)
        server.send_signal(signal.SIGKILL)
        lines += server.stdout.readlines()
    # The last line may be cut off by the kill.
    words = (line.split() for line in lines if line.endswith("\n"))
    return {job_id: word for word, job_id in words}
