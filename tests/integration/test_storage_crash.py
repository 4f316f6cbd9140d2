"""Killing a server in the middle of its transactions loses nothing that it had said was done."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

from sqlalchemy import Connection, event, text

from photogram.generation.repository import jobs
from photogram.ledger.service import LedgerService
from photogram.storage.database import Database
from tests.unit.storage.stocked import Stock, new_job, open_stock, succeed, take_over_all

NUM_KILLS = 8

# Admits and ends jobs as fast as it can, and says so after each transaction.
_SERVER = """
import random, sys
from photogram.accounts.models import Principal
from photogram.generation.repository import jobs
from photogram.generation.states import JobState
from photogram.storage.database import Database
from tests.unit.storage.stocked import fail, new_job, succeed, take_over_all

database = Database.open(sys.argv[1])
while True:
    job = new_job(Principal(sys.argv[2], sys.argv[3]), 10)
    database.transact(jobs.admit, job)
    print("admitted", job.id, flush=True)
    if random.random() < 0.5:
        database.transact(succeed, job.id, 7)
        print("succeeded", job.id, flush=True)
    elif random.random() < 0.5:
        database.transact(fail, job.id, JobState.FAILED, "test")
        print("failed", job.id, flush=True)
"""


def test_killed_servers_leave_whole_ledgers(database_url: str) -> None:
    told: dict[str, str] = {}
    delays = random.Random(1)  # noqa: S311 - the same delays in every run
    with open_stock(database_url, amount_micro=10_000_000) as stock:
        for _ in range(NUM_KILLS):
            told |= _serve_and_kill(stock, delays.uniform(0.0, 0.15))
            assert stock.ledger.check().violations == ()
            _wait_for_the_dead(stock.database)
            num_open = stock.ledger.check().num_open_holds
            assert take_over_all(stock.database) == num_open
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


def _wait_for_the_dead(database: Database) -> None:
    """A killed server's last statement may still be running in PostgreSQL."""
    if database.describe().startswith("SQLite"):
        return
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle'"
    )
    deadline = time.monotonic() + 10
    while database.transact(
        lambda connection: connection.exec_driver_sql(query).scalar_one(), readonly=True
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _serve_and_kill(stock: Stock, delay_s: float) -> dict[str, str]:
    """Run a server for a moment; returns each job's last word."""
    customer = stock.customer
    argv = [sys.executable, "-c", _SERVER, stock.url, customer.account_id, customer.key_id]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        lines = [""]
        while not lines[-1].startswith("admitted"):
            lines.append(server.stdout.readline())
        time.sleep(delay_s)
        server.send_signal(signal.SIGKILL)
        lines += server.stdout.readlines()
    # The last line may be cut off by the kill; others are logged.
    words = [line.split() for line in lines if line.endswith("\n")]
    return {pair[1]: pair[0] for pair in words if len(pair) == 2}


# What a killed child does, and how often it may speak to the database before it is killed.
_NUM_STATEMENTS_AT_MOST = 60


def test_killing_between_any_two_statements_loses_nothing_acknowledged(database_url: str) -> None:
    """A child grants, admits, settles and refunds; it is killed before its n-th statement."""
    with open_stock(database_url, amount_micro=1_000) as stock:
        pass
    num_statements = 0
    acknowledged: list[str] = []
    while "refunded" not in acknowledged:
        assert num_statements < _NUM_STATEMENTS_AT_MOST
        start_micro = _balance(stock)
        acknowledged = _act_and_die(stock, f"round-{num_statements}", num_statements)
        _prove(stock, f"round-{num_statements}", acknowledged, start_micro)
        num_statements += 1
    assert num_statements > 20


def _balance(stock: Stock) -> int:
    # Nothing may be open when a child is forked off.
    with contextlib.closing(Database.open(stock.url)) as database:
        return LedgerService(database).balance(stock.customer.account_id)


def _act_and_die(stock: Stock, job_id: str, num_statements: int) -> list[str]:
    """Returns what the child said was done."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _act(stock, job_id, num_statements, writing)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as words:
        said = words.read().split()
    os.waitpid(child, 0)
    return said


def _act(stock: Stock, job_id: str, num_statements: int, writing: int) -> None:
    left = [num_statements]

    def count(*_context: object) -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    database = Database.open(stock.url)
    engine = database._backend.engine
    event.listen(engine, "before_cursor_execute", count)
    event.listen(engine, "commit", count)
    ledger = LedgerService(database)
    account_id = stock.customer.account_id
    ledger.grant(account_id, 50, actor="test", idem_ref=f"{job_id}:grant")
    os.write(writing, b"granted ")
    database.transact(jobs.admit, new_job(stock.customer, 10, job_id))
    os.write(writing, b"admitted ")
    database.transact(succeed, job_id, 7)
    os.write(writing, b"succeeded ")
    ledger.refund(job_id, 3, actor="test", reason="test", idem_ref=f"{job_id}:refund")
    os.write(writing, b"refunded ")


def _prove(stock: Stock, job_id: str, acknowledged: list[str], start_micro: int) -> None:
    """What was acknowledged has happened, and to do all of it again does nothing twice."""
    database = Database.open(stock.url)
    _wait_for_the_dead(database)
    ledger, account_id = LedgerService(database), stock.customer.account_id
    assert ledger.check().violations == ()
    num_open = ledger.check().num_open_holds
    assert take_over_all(database) == num_open
    was_paid = database.transact(_was_paid, job_id, readonly=True)
    assert was_paid or "succeeded" not in acknowledged

    before = ledger.balance(account_id)
    after = ledger.grant(account_id, 50, actor="test", idem_ref=f"{job_id}:grant")
    assert after == before or "granted" not in acknowledged
    if was_paid:
        ledger.refund(job_id, 3, actor="test", reason="test", idem_ref=f"{job_id}:refund")
        assert ledger.balance(account_id) == after or "refunded" not in acknowledged
    assert ledger.balance(account_id) == start_micro + 50 - (7 - 3 if was_paid else 0)
    assert ledger.check().violations == ()
    database.close()


def _was_paid(connection: Connection, job_id: str) -> bool:
    query = text("SELECT COUNT(*) FROM job WHERE id = :job_id AND state = 'succeeded'")
    return connection.execute(query, {"job_id": job_id}).scalar_one() == 1
