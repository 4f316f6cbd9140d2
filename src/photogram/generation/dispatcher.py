"""The one reader of the engine's events: from a submitted job to its outcome.

Whoever waits for a job may stop waiting: the dispatcher goes on until the job is closed. A job whose
worker dies is tried once more, and set aside if that ends the next worker too. It knows nothing of
keys, of requests, or of what a price is made of.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from photogram.core.errors import (
    ConflictError,
    DeadlineExceededError,
    EngineFailedError,
    EngineOverloadedError,
    ModelUnavailableError,
    PhotogramError,
    StorageError,
)
from photogram.core.messages import (
    CANCELLED,
    DRAINING,
    WORKER_LOST,
    Failed,
    Finished,
    GenerateJob,
    JobEnd,
    JobEvent,
    Started,
)
from photogram.core.ports import Engine, Permit
from photogram.generation.closing import Holding, JobCloser, Outcome
from photogram.generation.live import LiveJobs
from photogram.generation.repository import jobs
from photogram.generation.results import Results
from photogram.storage.backend import OUTCOME_UNKNOWN
from photogram.storage.database import Database

MAX_ATTEMPTS: Final = 2
"""A job that was begun so often, and ended its worker each time, is set aside."""

POISON: Final = "poison"
"""The code of such a job."""

_RETRY_S = 0.25

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that the engine has.

    Attributes:
        holding: Its row; the job's timeout counts from its `created_s`.
        is_durable: It is left to another server where this one closes.
        price_micro: The price of what the engine really made, at most the hold.
        on_event: Told of all events on the way, on the event loop; it must neither wait nor fail.
    """

    job: GenerateJob
    holding: Holding
    is_durable: bool
    events: AsyncIterator[JobEvent]
    price_micro: Callable[[Finished], int]
    on_event: Callable[[JobEvent], None] | None = None


class Dispatcher:
    """Follows jobs of one engine.

    Args:
        database: Where the jobs are.
        engine: What paints them.
        results: Where their pictures go.
        server_id: Whose jobs they are.
        on_end: Called after the end of each job.

    Attributes:
        live: What is told of them meanwhile.
        closer: What closes them.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        results: Results,
        server_id: str,
        on_end: Callable[[], None] | None,
    ) -> None:
        self._on_end = on_end
        self.live = LiveJobs()
        self.closer = JobCloser(database, results)
        self._database = database
        self._engine = engine
        self._server_id = server_id
        self._holdings: dict[str, Holding] = {}
        self._jobs: set[asyncio.Task[Outcome]] = set()
        self._abandoned: set[asyncio.Task[JobEnd]] = set()
        # One of them may be what ended the worker: they are not to end each other's next attempt.
        self._suspects = asyncio.Lock()

    def follow(self, submission: Submission) -> asyncio.Task[Outcome]:
        """Read a job's events in the background; the task's result is the job's.

        It raises `EngineFailedError`, `EngineOverloadedError` (the engine closes),
        `DeadlineExceededError` or `StorageError`; the job is not billed then.
        """
        self._holdings[submission.job.job_id] = submission.holding
        self.live.begin(submission.job.job_id, submission.on_event)
        task = asyncio.create_task(self._follow(submission))
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        task.add_done_callback(_mark_read)
        if self._on_end is not None:
            on_end = self._on_end
            task.add_done_callback(lambda _: on_end())
        return task

    def stop(self, job_id: str) -> None:
        """Nobody wants a job any more: it stops within a step, or is not begun again."""
        if holding := self._holdings.get(job_id):
            holding.is_unwanted = True
        self._engine.cancel(job_id)

    async def close(self) -> None:
        """Wait for all jobs to be closed, or left to the next server."""
        while self._jobs:
            await asyncio.wait(self._jobs)
        for task in self._abandoned:
            task.cancel()
        await asyncio.gather(*self._abandoned, return_exceptions=True)
        await self.closer.close()

    async def _follow(self, submission: Submission) -> Outcome:
        holding = submission.holding
        try:
            last = await self._run_in_time(submission)
            if isinstance(last, Finished):
                price_micro = submission.price_micro(last)
                return await self.closer.settle(holding, last, price_micro)
            error = _error_of(last)
            if last.code == DRAINING and submission.is_durable:
                await self.closer.leave(holding)
            else:
                await self.closer.fail(holding, error)
            raise error
        except PhotogramError:
            raise
        except Exception as bug:
            _log.exception("a job was not followed to its end", job_id=holding.job_id)
            await self.closer.fail(holding, EngineFailedError())
            raise EngineFailedError from bug
        finally:
            del self._holdings[holding.job_id]
            self.live.end(holding.job_id)

    async def _run_in_time(self, submission: Submission) -> JobEnd:
        """All attempts of a job, for as long as it may take."""
        job, holding = submission.job, submission.holding
        running = asyncio.create_task(self._run(submission))
        left_s = holding.created_s + job.timeout_s - time.perf_counter()
        done, _ = await asyncio.wait({running}, timeout=max(left_s, 0))
        if done:
            return running.result()
        # The engine's last events are still to be read: with them it gives the permit back.
        self._abandoned.add(running)
        running.add_done_callback(self._abandoned.discard)
        running.add_done_callback(_mark_read)
        self._engine.cancel(job.job_id)
        late = DeadlineExceededError()
        return Failed(job_id=job.job_id, code=late.error_code, message=late.message)

    async def _run(self, submission: Submission) -> JobEnd:
        job, holding = submission.job, submission.holding
        last = await self._read(submission.events, holding)
        while isinstance(last, Failed) and last.code == WORKER_LOST:
            if holding.attempt >= MAX_ATTEMPTS:
                return Failed(
                    job_id=job.job_id,
                    code=POISON,
                    message="the model's process ended each time it worked on this request; it was"
                    " set aside and not billed",
                )
            async with self._suspects if holding.is_started else contextlib.nullcontext():
                last = await self._try_again(job, holding)
        return last

    async def _try_again(self, job: GenerateJob, holding: Holding) -> JobEnd:
        """Hand the job over once more, as soon as there is a worker that takes it."""
        try:
            await self._queue_again(holding)
            permit = await self._acquire(job, holding)
        except ConflictError:
            return Failed(job_id=job.job_id, code=CANCELLED, message="the request was cancelled")
        except PhotogramError as error:
            return Failed(job_id=job.job_id, code=error.error_code, message=error.message)
        try:
            events = self._engine.submit(job, permit)
        except BaseException:
            permit.release()
            raise
        return await self._read(events, holding)

    async def _queue_again(self, holding: Holding) -> None:
        """Take the job anew; a database that is away for a moment is waited for."""
        while True:
            try:
                async with holding.turn:
                    holding.fence = await self._database.run(
                        jobs.take, holding.job_id, holding.fence, self._server_id
                    )
            except StorageError:
                if self._engine.is_draining:
                    raise
                await asyncio.sleep(_RETRY_S)
            else:
                holding.is_started = False
                return

    async def _acquire(self, job: GenerateJob, holding: Holding) -> Permit:
        """A place in the engine, once there is one.

        Raises:
            ConflictError: Nobody wants the job any more.
        """
        while not holding.is_unwanted:
            try:
                return self._engine.acquire(job)
            except EngineOverloadedError as error:
                if error.error_code == DRAINING:
                    raise
                await asyncio.sleep(_RETRY_S)
        raise ConflictError("nobody waits for the job any more")

    async def _read(self, events: AsyncIterator[JobEvent], holding: Holding) -> JobEnd:
        """All events of an attempt; an engine that breaks off has failed on it."""
        live = self.live.find(holding.job_id)
        last: JobEnd | None = None
        try:
            async for event in events:
                if isinstance(event, JobEnd):
                    last = event
                    continue
                if isinstance(event, Started):
                    await self._start(holding)
                if live is not None:
                    live.tell(event)
        except Exception:  # noqa: BLE001 - whatever an engine raises must not keep a hold
            _log.exception("the engine broke off a job", job_id=holding.job_id)
        return last or Failed(
            job_id=holding.job_id,
            code=EngineFailedError.code,
            message="the engine broke off the request; it was not billed",
        )

    async def _start(self, holding: Holding) -> None:
        """Count the attempt."""
        holding.is_started = True
        holding.attempt += 1
        try:
            holding.attempt = await self._database.run(jobs.start, holding.job_id, holding.fence)
        except StorageError:
            # A disk that is full for a moment is no reason to stop painting: closing the job will
            # say whether the database works, and sets this state again.
            pass
        except ConflictError:  # it was cancelled, or another server has it
            self._engine.cancel(holding.job_id)


def _error_of(failed: Failed) -> PhotogramError:
    """What is told to the caller: to try again where the engine gave the job up unpainted."""
    families: dict[str, type[PhotogramError]] = {
        DRAINING: EngineOverloadedError,
        DeadlineExceededError.code: DeadlineExceededError,
        ModelUnavailableError.code: ModelUnavailableError,
        StorageError.code: StorageError,
        OUTCOME_UNKNOWN: StorageError,
    }
    family = families.get(failed.code, EngineFailedError)
    return family(failed.message, code=failed.code)


def _mark_read(task: asyncio.Task[Any]) -> None:
    """Nobody may be waiting for a job any more; its error is in the database all the same."""
    if not task.cancelled():
        task.exception()
