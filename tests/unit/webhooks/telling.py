"""Messages to deliver, and a clock that a test moves, for whoever tests their delivery."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from photogram.storage.database import Database
from photogram.storage.instants import database_now
from photogram.webhooks.courier import Courier
from photogram.webhooks.models import JOB_COMPLETED, Announcement, LoggedAttempt
from photogram.webhooks.repository import outbox, registered
from tests.unit.storage.stocked import Stock

PAYLOAD = '{"type": "job.completed"}'
PATIENCE_S = 60.0


@dataclass
class Clock:
    """The database's, moved on by hand."""

    ahead: timedelta = timedelta()

    def __call__(self, connection: Connection) -> datetime:
        return database_now(connection) + self.ahead


def announce(
    stock: Stock,
    url: str | None = None,
    *,
    secret: str | None = None,
    account_id: str | None = None,
    event_type: str = JOB_COMPLETED,
    num: int = 1,
) -> str:
    """Tell of a job; returns its id."""
    job_id = stock.admit(0)
    owner = account_id or stock.customer.account_id
    told = Announcement(owner, job_id, event_type, PAYLOAD, url, secret)

    def tell(connection: Connection) -> None:
        for _ in range(num):
            outbox.announce(connection, told)

    stock.database.transact(tell)
    return job_id


def log_of(stock: Stock, job_id: str) -> Sequence[LoggedAttempt]:
    """Attempts to tell of a job, the first one first."""
    account_id = stock.customer.account_id
    log = stock.database.transact(registered.log_of_job, account_id, job_id, readonly=True)
    return log[::-1]


def outcomes(database: Database) -> list[str | None]:
    """How each message has ended, in the order of their making."""
    query = text("SELECT outcome FROM message ORDER BY id")
    return database.transact(lambda connection: list(connection.execute(query).scalars()))


@contextlib.asynccontextmanager
async def running(courier: Courier) -> AsyncIterator[None]:
    task = asyncio.create_task(courier.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: object) -> None:
    """Wait for a condition that is looked at again and again."""
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(condition):  # type: ignore[arg-type]
            await asyncio.sleep(0.01)
