"""A database with one customer, for every test that moves credits or jobs."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, text

from photogram.accounts.models import Principal
from photogram.accounts.service import AccountService
from photogram.core import ids
from photogram.generation import repository as jobs
from photogram.generation.repository import NewJob
from photogram.ledger.service import LedgerService
from photogram.storage.database import Database

PEPPER = b"p" * 32


@dataclass(frozen=True, slots=True)
class Stock:
    """A database, its services, and a customer with a key."""

    url: str
    database: Database
    accounts: AccountService
    ledger: LedgerService
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
    try:
        accounts = AccountService(database, PEPPER)
        key = accounts.create_key("ann")
        stock = Stock(
            url,
            database,
            accounts,
            LedgerService(database),
            Principal(accounts.account_id("ann"), key.key_id),
        )
        if amount_micro:
            stock.grant(amount_micro)
        yield stock
        if is_whole:
            assert stock.ledger.check().violations == ()
    finally:
        database.close()


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


def execute(connection: Connection, statement: str) -> None:
    """One SQL statement, as an operator might type it."""
    connection.exec_driver_sql(statement)


def _job(connection: Connection, job_id: str) -> tuple[str, str | None]:
    query = text("SELECT state, error_code FROM job WHERE id = :job_id")
    state, code = connection.execute(query, {"job_id": job_id}).one()
    return state, code


def _states(connection: Connection) -> Counter[str]:
    return Counter(connection.exec_driver_sql("SELECT state FROM job").scalars())
