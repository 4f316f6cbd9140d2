"""The one reader of the engine's events: it closes each job, and its hold with it.

A submitted job goes in; its outcome comes out, after the transaction that pays for it. Whoever
waits for a job may stop waiting: the dispatcher goes on until the job is closed. It knows nothing
of keys, of requests, or of what a price is made of.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import structlog

from photogram.core.errors import (
    ConflictError,
    DeadlineExceededError,
    EngineFailedError,
    EngineOverloadedError,
    PhotogramError,
    StorageError,
)
from photogram.core.messages import CANCELLED, DRAINING, Failed, Finished, JobEvent, Progress
from photogram.core.ports import Engine
from photogram.generation import repository
from photogram.generation.states import JobState
from photogram.storage.database import Database

_RETRY_FIRST_S = 0.25
_RETRY_MOST_S = 15.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Pictures that are paid for. Amounts are micro-credits.

    Attributes:
        remaining_micro: What the account could spend right after this job was settled.
        total_time_s: From the request's admission to the settled hold.
    """

    finished: Finished
    cost_micro: int
    remaining_micro: int
    total_time_s: float


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that the engine has.

    Attributes:
        price_micro: The price of what the engine really made, at most the hold.
        deadline_s: Seconds from `created_s` on that the job may take.
        created_s: `time.perf_counter` at the request's admission.
        on_progress: Told of every step, on the event loop; it must neither wait nor fail.
    """

    job_id: str
    events: AsyncIterator[JobEvent]
    price_micro: Callable[[Finished], int]
    deadline_s: float
    created_s: float
    on_progress: Callable[[Progress], None] | None = None


class Dispatcher:
    """Follows jobs of one engine."""

    def __init__(self, database: Database, engine: Engine) -> None:
        self._database = database
        self._engine = engine
        self._jobs: set[asyncio.Task[Outcome]] = set()
        self._late: set[asyncio.Task[Any]] = set()

    def follow(self, submission: Submission) -> asyncio.Task[Outcome]:
        """Read a job's events in the background; the task's result is the job's.

        It raises `EngineFailedError`, `EngineOverloadedError` (the engine closes),
        `DeadlineExceededError` or `StorageError`; the job is not billed then.
        """
        task = asyncio.create_task(self._follow(submission))
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        task.add_done_callback(_mark_read)
        return task

    async def fail(self, job_id: str, state: JobState, code: str) -> None:
        """Close a job and release its hold, now or as soon as the database works again."""
        if not await self._try_to_fail(job_id, state, code):
            self._keep(asyncio.create_task(self._fail_later(job_id, state, code)))

    async def close(self) -> None:
        """Wait for all jobs to be closed.

        What cannot be closed because the database refuses is left to the next server's start.
        """
        while self._jobs:
            await asyncio.wait(self._jobs)
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def _follow(self, submission: Submission) -> Outcome:
        reader = asyncio.create_task(self._read(submission))
        left_s = submission.created_s + submission.deadline_s - time.perf_counter()
        done, _ = await asyncio.wait({reader}, timeout=max(left_s, 0))
        if not done:
            # The engine's last events are still to be read: with them it gives the permit back.
            self._keep(reader)
            self._engine.cancel(submission.job_id)
            await self.fail(submission.job_id, JobState.FAILED, DeadlineExceededError.code)
            raise DeadlineExceededError
        last = reader.result()
        if isinstance(last, Finished):
            return await self._settle(submission, last)
        state = JobState.CANCELLED if last.code == CANCELLED else JobState.FAILED
        await self.fail(submission.job_id, state, last.code)
        raise _error_of(last)

    async def _read(self, submission: Submission) -> Finished | Failed:
        """All events of a job; an engine that breaks off has failed on it."""
        last: Finished | Failed | None = None
        is_running = False
        try:
            async for event in submission.events:
                if not isinstance(event, Progress):
                    last = event
                    continue
                if submission.on_progress is not None:
                    submission.on_progress(event)
                if not is_running:
                    is_running = True
                    await self._start(submission.job_id)
        except Exception:  # noqa: BLE001 - whatever an engine raises must not keep a hold
            _log.exception("the engine broke off a job", job_id=submission.job_id)
        return last or Failed(
            job_id=submission.job_id,
            code=EngineFailedError.code,
            message="the engine broke off the request; it was not billed",
        )

    async def _start(self, job_id: str) -> None:
        # A disk that is full for a moment is no reason to stop painting: closing the job will say
        # whether the database works, and sets this state again.
        with contextlib.suppress(StorageError):
            await self._database.run(repository.start, job_id)

    async def _settle(self, submission: Submission, finished: Finished) -> Outcome:
        cost_micro = submission.price_micro(finished)
        try:
            remaining_micro = await self._database.run(
                repository.succeed, submission.job_id, cost_micro
            )
        except StorageError as error:
            await self.fail(submission.job_id, JobState.FAILED, error.error_code)
            raise
        total_time_s = time.perf_counter() - submission.created_s
        return Outcome(finished, cost_micro, remaining_micro, total_time_s)

    async def _try_to_fail(self, job_id: str, state: JobState, code: str) -> bool:
        try:
            await self._database.run(repository.fail, job_id, state, code)
        except StorageError:
            return False
        except ConflictError:
            # Only after a commit that was refused by an error, and then found to have happened.
            _log.exception("a job was closed before it failed", job_id=job_id)
        return True

    async def _fail_later(self, job_id: str, state: JobState, code: str) -> None:
        delay_s = _RETRY_FIRST_S
        await asyncio.sleep(delay_s)
        while not await self._try_to_fail(job_id, state, code):
            delay_s = min(2 * delay_s, _RETRY_MOST_S)
            await asyncio.sleep(delay_s)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        task.add_done_callback(_mark_read)


def _error_of(failed: Failed) -> PhotogramError:
    """What is told to the caller: to try again where the engine gave the job up unpainted."""
    families = {DRAINING: EngineOverloadedError, DeadlineExceededError.code: DeadlineExceededError}
    family = families.get(failed.code, EngineFailedError)
    return family(failed.message, code=failed.code)


def _mark_read(task: asyncio.Task[Any]) -> None:
    """Nobody may be waiting for a job any more; its error is in the database all the same."""
    if not task.cancelled():
        task.exception()
