"""A place where servers live and die one after the other, or beside each other, and its oracle.

A folder and a database come in; servers are started in it as processes of their own, by a plan that
says where they are to die. `prove` asks, whatever has happened, for all that was promised.
"""

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Connection, text

from photogram.core import clock
from photogram.generation.lease import LEASE
from photogram.generation.retention import Retention
from photogram.ledger.service import LedgerService
from photogram.storage.blobs import BlobFolder
from photogram.storage.database import Database
from tests.acceptance.server import ONE_THREAD, is_alive, wait_until

START_TIMEOUT_S = 90.0
SWEEP_S = 15.0
"""A hold may be without a server for a lease and this long."""

_RETRIED = {409, 429, 503}
_SECRETS = re.compile(rb"phg_live_[0-9A-Za-z]{8}_\w+")


@dataclass
class Process:
    """One run of a server."""

    popen: "subprocess.Popen[str]"
    log: Path
    url: str = ""
    key: str | None = None

    def wait_until_dead(self, timeout_s: float = 30.0) -> int:
        return self.popen.wait(timeout_s)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.wait_until_dead()

    def stop(self) -> int:
        """In order, as a service manager does."""
        self.send(signal.SIGTERM)
        return self.wait_until_dead(60)

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.popen.send_signal(number)

    @property
    def is_running(self) -> bool:
        return self.popen.poll() is None

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@dataclass
class Deployment:
    """Where servers live.

    Attributes:
        folder: Their data folder's parent; everything that they write is in it.
        database_url: A PostgreSQL database; None: SQLite in the data folder.
        env: Settings of all servers.
        step_s: Seconds of one step of their engine.
        credits: What the account has that the first server made.
        key: Its key.
    """

    folder: Path
    database_url: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    step_s: float = 0.02
    credits: int = 100
    key: str = ""
    processes: list[Process] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def start(
        self,
        point: str = "",
        visits: int = 1,
        *,
        stops: bool = False,
        data: Path | None = None,
        module: str = "tests.faults.composed",
        **env: str,
    ) -> Process:
        """A server that dies at that point, or is stopped; returns when it takes requests.

        Or when it has died: one that takes jobs over may do so before.

        Args:
            point: One of `points`.
            visits: The how-manieth visit of it.
            stops: It is stopped there, as by SIGSTOP.
            data: A data folder of its own.
            module: What composes it.
            **env: Its settings.
        """
        plan = {"point": point, "visits": visits, "stops": stops, "step_s": self.step_s}
        process = self._launch(plan, data=data, module=module, **env)
        assert process.popen.stdout is not None
        line = process.popen.stdout.readline()
        if line:
            said = json.loads(line)
            process.url = said["url"]
            self.key = said["key"] or self.key
        else:
            assert process.wait_until_dead() == -signal.SIGKILL, process.log.read_text()[-4000:]
        return process

    def _launch(
        self, plan: dict[str, object], *, data: Path | None, module: str, **env: str
    ) -> Process:
        self.folder.mkdir(exist_ok=True)
        log = self.folder / f"log-{len(self.processes)}.txt"
        settings = {
            "PHOTOGRAM_DATA": str(data or self.data),
            "PHOTOGRAM_RESULTS": str(self.results),
            "PHOTOGRAM_PORT": "0",
            "PHOTOGRAM_DISK_FLOOR_MIB": "0",
            "PHOTOGRAM_FIRST_CREDITS": str(self.credits),
        }
        if self.database_url:
            settings["PHOTOGRAM_DATABASE_URL"] = self.database_url
        with log.open("w") as errors:
            popen = subprocess.Popen(
                [sys.executable, "-m", module, json.dumps(plan)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | ONE_THREAD | settings | self.env | env,
                start_new_session=True,
            )
        process = Process(popen, log)
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            process.send(signal.SIGCONT)
            process.kill()
            if process.popen.stdout:
                process.popen.stdout.close()

    # --- a client ---------------------------------------------------------------------------------

    def ask(
        self,
        url: str,
        seed: int,
        *,
        key: str | None = None,
        path: str = "/v1/flux-dev",
        **body: Any,
    ) -> httpx.Response:
        """One request for a picture."""
        headers = {"x-api-key": self.key} | ({"Idempotency-Key": key} if key else {})
        fields = {"prompt": "a red fox", "steps": 4, "output_format": "png", "seed": seed} | body
        return httpx.post(f"{url}{path}", json=fields, headers=headers, timeout=60)

    def ask_until_answered(
        self, find_url: Callable[[], str], seed: int, key: str, timeout_s: float = 90.0, **body: Any
    ) -> httpx.Response:
        """The same request again and again, as a client does that wants its picture."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                answer = self.ask(find_url(), seed, key=key, **body)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code not in _RETRIED:
                return answer
            assert time.monotonic() < deadline, (answer and answer.text, seed, key)
            time.sleep(0.05)

    def get(self, url: str, path: str) -> httpx.Response:
        return httpx.get(f"{url}{path}", headers={"x-api-key": self.key}, timeout=30)

    def wait_for_job(self, url: str, job_id: str, timeout_s: float = 60.0) -> httpx.Response:
        """A job that nobody waits for, once it has ended."""
        answer = self.get(url, f"/v2/requests/{job_id}")
        deadline = time.monotonic() + timeout_s
        while answer.status_code == 200 and answer.json()["status"] in ("QUEUED", "PROCESSING"):
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.05)
            answer = self.get(url, f"/v2/requests/{job_id}")
        return answer

    # --- the database beside the servers ----------------------------------------------------------

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        url = self.database_url or f"sqlite:///{self.data / 'photogram.sqlite3'}"
        with contextlib.closing(Database.open(url)) as database:
            yield database

    def rows(self, query: str) -> list[Any]:
        with self.database() as database:
            return list(database.transact(_all, query, readonly=True))

    def end_leases_of_the_dead(self) -> None:
        """Their time passes: the tests do not wait for it, but for one that does."""
        if self.database_url:
            with self.database() as database:
                database.transact(_end_leases)

    # --- the oracle -------------------------------------------------------------------------------

    def prove(self, process: Process, *, unbilled: tuple[str, ...] = ()) -> None:
        """All that holds after any fault, once a server has been running for a moment.

        Args:
            process: A server that lives.
            unbilled: Codes with which jobs may have failed.
        """
        assert wait_until(process.is_ready, 10), process.log.read_text()[-4000:]
        with self.database() as database:
            ledger = LedgerService(database)
            assert wait_until(
                lambda: ledger.check().num_open_holds == 0, LEASE.total_seconds() + SWEEP_S
            ), "a hold is left"
            assert ledger.check().violations == ()
            self._prove_jobs(database, unbilled)
            self._prove_files(database)
        self._prove_payments()
        self._prove_silence()
        dead = [each for each in self.processes if not each.is_running]
        assert wait_until(lambda: not any(_members(each.popen.pid) for each in dead), 5)

    def _prove_jobs(self, database: Database, unbilled: tuple[str, ...]) -> None:
        ended = database.transact(
            _all, "SELECT state, error_code FROM job WHERE state <> 'succeeded'", readonly=True
        )
        allowed = {"server_restarted", *unbilled}
        assert {row.error_code for row in ended} <= allowed, ended

    def _prove_payments(self) -> None:
        """Whoever has a picture paid for it once, and nobody else paid."""
        paid = self.rows("SELECT job_id, amount_micro FROM transfer WHERE phase = 'post'")
        succeeded = self.rows("SELECT id FROM job WHERE state = 'succeeded'")
        assert sorted(row.job_id for row in paid) == sorted(row.id for row in succeeded)
        (left,) = self.rows(
            "SELECT SUM(credits_posted - debits_posted - debits_pending) AS micro"
            " FROM account WHERE kind = 'customer'"
        )
        assert int(left.micro) == 1_000_000 * self.credits - sum(row.amount_micro for row in paid)

    def _prove_files(self, database: Database) -> None:
        """Each picture that was paid for is there as it was; what nobody knows goes with age."""
        then = (clock.now() - timedelta(hours=2)).timestamp()
        for path in self.results.iterdir():
            os.utime(path, (then, then))
        Retention(database, BlobFolder(self.results)).sweep()
        known = database.transact(_all, "SELECT file_name, sha256 FROM image", readonly=True)
        found = {path.name: path for path in self.results.iterdir() if path.name != "database"}
        assert set(found) == {row.file_name for row in known}
        for row in known:
            data = found[row.file_name].read_bytes()
            assert hashlib.sha256(data).hexdigest() == row.sha256

    def _prove_silence(self) -> None:
        """No log holds a secret."""
        pepper = (self.data / "pepper").read_bytes()
        for process in self.processes:
            said = process.log.read_bytes()
            assert not _SECRETS.search(said), process.log
            assert pepper not in said
            assert pepper.hex().encode() not in said


@contextlib.contextmanager
def deployed(folder: Path, database_url: str | None, **settings: Any) -> Iterator[Deployment]:
    """A deployment whose servers are gone afterwards."""
    deployment = Deployment(folder, database_url, **settings)
    try:
        yield deployment
    finally:
        deployment.close()


def of_url(database_url: str) -> str | None:
    """What a deployment is given for a test's database: SQLite lies in its own folder."""
    return database_url if database_url.startswith("postgresql") else None


def _members(session: int) -> list[int]:
    """Processes that live of those that a process has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if int(fields[3]) == session and is_alive(int(entry.name)):
                    found.append(int(entry.name))
    return found


def _all(connection: Connection, query: str) -> list[Any]:
    return list(connection.execute(text(query)))


def _end_leases(connection: Connection) -> None:
    connection.execute(text("UPDATE server SET lease_until = '2020-01-01 00:00:00+00'"))
