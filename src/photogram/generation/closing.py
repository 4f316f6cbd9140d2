"""The end of jobs: pictures paid for, or holds released, now or as soon as the database works again.

A job as this server holds it comes in, with what became of it; its row, its hold and its files agree
when it is done. It knows nothing of the engine.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from photogram.core.errors import ConflictError, EngineFailedError, PhotogramError, StorageError
from photogram.core.messages import CANCELLED, Finished
from photogram.generation.records import RunFigures, StoredImage
from photogram.generation.repository import jobs, records
from photogram.generation.results import Results
from photogram.generation.states import JobState
from photogram.storage.backend import OUTCOME_UNKNOWN
from photogram.storage.database import Database

_RETRY_FIRST_S = 0.25
_RETRY_MOST_S = 15.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Holding:
    """A job's row as this server holds it.

    Attributes:
        fence: What it was taken with; who has a newer one has the job.
        created_s: `time.perf_counter` at the request's admission.
        attempt: How often the engine has begun it.
        is_started: The engine has begun the present attempt.
        is_unwanted: Nobody waits for it any more: there is to be no other attempt.
        turn: Held while the fence changes, or ends the job.
    """

    job_id: str
    fence: int
    created_s: float
    attempt: int = 0
    is_started: bool = False
    is_unwanted: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Pictures that are paid for. Amounts are micro-credits.

    Attributes:
        remaining_micro: What the account could spend right after this job was settled.
        total_time_s: From the request's admission to its finished pictures.
        files: Where the pictures can be fetched again.
    """

    finished: Finished
    cost_micro: int
    remaining_micro: int
    total_time_s: float
    files: tuple[StoredImage, ...]


class JobCloser:
    """Closes the jobs of one server.

    Args:
        database: Where they are.
        results: Where their pictures go.
    """

    def __init__(self, database: Database, results: Results) -> None:
        self._database = database
        self._results = results
        self._late: set[asyncio.Task[None]] = set()

    async def settle(self, holding: Holding, finished: Finished, cost_micro: int) -> Outcome:
        """Store the pictures, then close the job and take what they cost, in one transaction.

        Raises:
            EngineFailedError: With code ``cancelled``: the job was closed from elsewhere meanwhile.
            StorageError: Disk or database refused; the job is closed as failed and not billed, if
                it was not settled after all (code ``storage_outcome_unknown``).
        """
        figures = RunFigures.of(finished, time.perf_counter() - holding.created_s)
        files: tuple[StoredImage, ...] = ()
        try:
            files = await self._results.store(finished.images)
            remaining_micro = await self._database.run(
                jobs.succeed, holding.job_id, holding.fence, cost_micro, figures, files
            )
        except ConflictError:
            await self._results.discard(files)
            raise EngineFailedError("the request was cancelled", code=CANCELLED) from None
        except StorageError as error:
            settled_micro = await self._settled_after_all(holding, error, files)
            if settled_micro is None:
                await self.fail(holding, error, files)
                raise
            remaining_micro = settled_micro
        return Outcome(finished, cost_micro, remaining_micro, figures.total_time_s, files)

    async def fail(
        self, holding: Holding, error: PhotogramError, files: tuple[StoredImage, ...] = ()
    ) -> None:
        """Close a job without a picture and release its hold; now, or as soon as it can be done.

        Args:
            holding: The job.
            error: What it failed of.
            files: Pictures that were made; removed once it is certain that nobody is billed.
        """
        is_cancelled = error.error_code == CANCELLED
        state = JobState.CANCELLED if is_cancelled else JobState.FAILED

        async def close() -> None:
            code, words = error.error_code, error.message
            try:
                async with holding.turn:
                    await self._database.run(
                        jobs.fail, holding.job_id, holding.fence, state, code, words
                    )
            except ConflictError:
                await self._discard_unknown(files)
                raise
            await self._results.discard(files)

        if not await self._try(close, holding):
            task = asyncio.create_task(self._try_later(close, holding))
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    async def leave(self, holding: Holding) -> None:
        """Leave an open job to the next server; it has it at the latest when this lease ends."""

        async def leave() -> None:
            await self._database.run(jobs.leave, holding.job_id, holding.fence)

        await self._try(leave, holding)

    async def close(self) -> None:
        """Give up what the database still refuses: the next server's start closes it."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def _settled_after_all(
        self, holding: Holding, error: StorageError, files: tuple[StoredImage, ...]
    ) -> int | None:
        """What the account has left, where a commit that seemed to fail has happened."""
        if error.error_code != OUTCOME_UNKNOWN:
            return None
        with contextlib.suppress(StorageError):
            record = await self._database.run(records.get, holding.job_id, readonly=True)
            if record.figures is not None and _names(record.images) == _names(files):
                return record.figures.remaining_micro
        return None  # another server's, or nobody knows: to fail it will tell

    async def _discard_unknown(self, files: tuple[StoredImage, ...]) -> None:
        """Remove pictures of a closed job but those that it was closed with."""
        with contextlib.suppress(StorageError):  # they are swept when they are old
            known = await self._database.run(records.known_files, _names(files), readonly=True)
            await self._results.discard(each for each in files if each.file_name not in known)

    async def _try(self, change: Callable[[], Awaitable[Any]], holding: Holding) -> bool:
        try:
            await change()
        except StorageError:
            return False
        except ConflictError:
            # Cancelled from elsewhere; or a commit that was refused has happened all the same.
            _log.info("a_job_was_closed_elsewhere", job_id=holding.job_id)
        return True

    async def _try_later(self, change: Callable[[], Awaitable[Any]], holding: Holding) -> None:
        delay_s = _RETRY_FIRST_S
        await asyncio.sleep(delay_s)
        while not await self._try(change, holding):
            delay_s = min(2 * delay_s, _RETRY_MOST_S)
            await asyncio.sleep(delay_s)


def _names(files: tuple[StoredImage, ...]) -> list[str]:
    return [each.file_name for each in files]
