"""A database with one customer, for every test that moves credits or jobs."""

import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Connection, text

from photogram.accounts.models import Principal
from photogram.accounts.service import AccountService
from photogram.core import ids
from photogram.generation.lease import ServerLease
from photogram.generation.records import RunFigures
from photogram.generation.recovery import reason_to_end
from photogram.generation.repository import jobs, servers
from photogram.generation.repository.jobs import FIRST_FENCE, NewJob
from photogram.generation.repository.servers import Orphan
from photogram.generation.states import JobState
from photogram.ledger.service import LedgerService
from photogram.storage.blobs import BlobFolder
from photogram.storage.database import Database
from tests.unit.generation.catalogues import catalogue_of

PEPPER = b"p" * 32
FIGURES = RunFigures(3, False, 4, 0.1, 0.2, 0.3)


@dataclass(frozen=True, slots=True)
class Stock:
    """A database, its services, and a customer with a key."""

    url: str
    database: Database
    accounts: AccountService
    ledger: LedgerService
    blobs: BlobFolder
    customer: Principal

    def balance(self) -> int:
        return self.ledger.balance(self.customer.account_id)

    def grant(self, amount_micro: int) -> None:
        self.ledger.grant(self.customer.account_id, amount_micro, actor="test")

    def admit(self, cost_micro: int, job_id: str | None = None) -> str:
        """A queued job with its hold; returns its id."""
        job = new_job(self.customer, cost_micro, job_id)
        self.database.transact(jobs.admit, job)
        return job.id

    def job(self, job_id: str) -> tuple[str, str | None]:
        """The job's state and error code."""
        return self.database.transact(_job, job_id, readonly=True)

    def states(self) -> Counter[str]:
        """How many jobs are in each state."""
        return self.database.transact(_states, readonly=True)


@contextlib.contextmanager
def open_stock(url: str, *, amount_micro: int = 0, is_whole: bool = True) -> Iterator[Stock]:
    """A database, with a customer who has so much.

    Args:
        url: The database.
        amount_micro: Micro-credits, paid for.
        is_whole: Prove the ledger at the end; False for who breaks it on purpose.
    """
    database = Database.open(url)
    folder = tempfile.mkdtemp()
    blobs = BlobFolder(Path(folder))
    try:
        accounts = AccountService(database, PEPPER)
        key = accounts.create_key("ann")
        stock = Stock(
            url,
            database,
            accounts,
            LedgerService(database),
            blobs,
            Principal(accounts.account_id("ann"), key.key_id),
        )
        if amount_micro:
            stock.grant(amount_micro)
        yield stock
        if is_whole:
            assert stock.ledger.check().violations == ()
    finally:
        database.close()
        shutil.rmtree(folder)


def new_job(customer: Principal, cost_micro: int, job_id: str | None = None) -> NewJob:
    return NewJob(
        id=job_id or ids.new_id(),
        account_id=customer.account_id,
        key_id=customer.key_id,
        cost_micro=cost_micro,
        price_version="test",
        num_images=1,
        num_steps=4,
        guidance=3.5,
        pixel_factor=Decimal(1),
    )


def succeed(connection: Connection, job_id: str, amount_micro: int) -> int:
    """Settle a job that only its first owner has had."""
    return jobs.succeed(connection, job_id, FIRST_FENCE, amount_micro, FIGURES)


def fail(connection: Connection, job_id: str, state: JobState, code: str) -> None:
    """Fail a job that only its first owner has had."""
    jobs.fail(connection, job_id, FIRST_FENCE, state, code)


def start(connection: Connection, job_id: str) -> int:
    """Begin a job that only its first owner has had."""
    return jobs.start(connection, job_id, FIRST_FENCE)


def take_over_all(database: Database) -> int:
    """What a server does first that has the database for itself; how many jobs were open."""
    lease = ServerLease(database, is_alone=True)
    num_open = database.transact(_states, readonly=True)
    take_over(database, lease.server_id)
    return num_open["queued"] + num_open["running"]


def take_over(database: Database, server_id: str) -> list[Orphan]:
    """Close what is not to be painted again; returns what is."""
    durable = []
    for orphan in database.transact(servers.take_over, server_id, 1_000_000):
        reason = reason_to_end(orphan, catalogue_of())
        if reason is None:
            durable.append(orphan)
            continue
        closing = (JobState.FAILED, reason.error_code, reason.message)
        database.transact(jobs.fail, orphan.id, orphan.fence, *closing)
    return durable


def execute(connection: Connection, statement: str) -> None:
    """One SQL statement, as an operator might type it."""
    connection.exec_driver_sql(statement)


def _job(connection: Connection, job_id: str) -> tuple[str, str | None]:
    query = text("SELECT state, error_code FROM job WHERE id = :job_id")
    state, code = connection.execute(query, {"job_id": job_id}).one()
    return state, code


def _states(connection: Connection) -> Counter[str]:
    return Counter(connection.exec_driver_sql("SELECT state FROM job").scalars())
