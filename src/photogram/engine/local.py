"""The local engine: a worker process of this machine, watched and restarted.

It implements `core.ports.Engine` in the API process and imports no torch. A worker whose pipe has
closed is dead, and one that has gone silent hangs: its jobs end with `WORKER_LOST` (and so
unbilled), and a new one is started, after a pause if the last ones did not live long.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import structlog

from photogram.core.messages import (
    DRAINING,
    WORKER_LOST,
    CancelJob,
    Failed,
    Finished,
    Forecast,
    GenerateJob,
    JobEnd,
    JobEvent,
    ModelInfo,
    Progress,
    Started,
    Vitals,
)
from photogram.core.ports import Permit
from photogram.engine.admission import Admission
from photogram.engine.outlook import Outlook
from photogram.engine.process import (
    Heartbeat,
    LoadFailed,
    Ready,
    WorkerConfig,
    WorkerEvent,
    WorkerProcess,
)

_RESTART_DELAYS_S = (0.0, 1.0, 5.0, 15.0)
"""Pauses before a restart, by how many starts in a row have failed; the last one repeats."""

_STEADY_S = 60.0
"""A start has failed if its worker did not load, or did not live so long after that."""

_NUM_STARTS = 2
"""So many starts in a row that did not load are told as a failure to load."""

_log = structlog.get_logger(__name__)


class LocalEngine:
    """One worker process behind a bounded queue.

    Args:
        model: What the checkpoint can do.
        config: How the worker is started.
        queue_limit: Jobs queued or running at once.
        silence_s: A worker that has loaded and gives no sign of life for so long is replaced; after
            half of that the engine is not ready any more.
    """

    def __init__(
        self, model: ModelInfo, config: WorkerConfig, *, queue_limit: int, silence_s: float
    ) -> None:
        self.model = model
        self.load_failure: str | None = None
        self._config = config
        self._silence_s = silence_s
        self._admission = Admission(queue_limit)
        self._outlook = Outlook(model, config.limits)
        self._jobs: dict[str, _Job] = {}
        self._worker: WorkerProcess | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._num_failed_starts = 0
        self._loaded_at: float | None = None
        self._is_silent = False
        self.vitals: Vitals | None = None

    @property
    def is_ready(self) -> bool:
        return self._loaded_at is not None and not self._is_silent

    @property
    def num_jobs(self) -> int:
        return self._admission.num_held

    @property
    def worker_pid(self) -> int | None:
        """The worker's process, while there is one."""
        return self._worker.pid if self._worker else None

    async def start(self) -> None:
        self._supervisor = asyncio.create_task(self._supervise())

    @property
    def is_draining(self) -> bool:
        return self._admission.is_draining

    def drain(self) -> None:
        self._admission.is_draining = True

    async def close(self) -> None:
        self.drain()
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
        self._fail_all(DRAINING, "the server is shutting down")

    def acquire(self, job: GenerateJob) -> Permit:
        permit = self._admission.acquire(
            is_ready=self.is_ready,
            is_silent=self._is_silent,
            seconds_to_place=self._outlook.seconds_to_end,
        )
        try:
            self._outlook.check_deadline(job)
        except BaseException:
            permit.release()
            raise
        return permit

    def submit(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        record = _Job(permit)
        self._jobs[job.job_id] = record
        self._outlook.add(job)
        if self._worker is not None:
            self._worker.send(job)
        elif self.is_draining:
            self._fail(job.job_id, DRAINING, "the server is shutting down")
        else:
            self._fail(job.job_id, WORKER_LOST, "the model's process is not there")
        return record.read()

    def cancel(self, job_id: str) -> None:
        if job_id in self._jobs and self._worker is not None:
            self._worker.send(CancelJob(job_id))

    def forecast(self, job_id: str) -> Forecast | None:
        return self._outlook.forecast(job_id)

    async def _supervise(self) -> None:
        """Keep one worker alive until cancelled."""
        while True:
            self._num_failed_starts += 1  # until its worker has lived for a while
            try:
                await self._run_worker()
            except Exception:  # noqa: BLE001 - whatever it is, its jobs end, and the next may live
                _log.exception("worker_failed")
            self._fail_all(WORKER_LOST, "the model's process ended")
            if self._num_failed_starts >= _NUM_STARTS and self.load_failure is None:
                self.load_failure = (
                    f"the model's process ended {self._num_failed_starts} times before the model"
                    " was loaded or soon after; the log says why (status -9: too little memory)"
                )
            longest = len(_RESTART_DELAYS_S) - 1
            await asyncio.sleep(_RESTART_DELAYS_S[min(self._num_failed_starts, longest)])

    async def _run_worker(self) -> None:
        """One worker, from its start to its end."""
        worker = WorkerProcess(self._config)
        self._worker = worker
        try:
            while (event := await self._next_event(worker)) is not None:
                self._take(event)
        finally:
            if self._loaded_at is not None and time.monotonic() > self._loaded_at + _STEADY_S:
                self._num_failed_starts = 0
            self._loaded_at, self._is_silent, self._worker = None, False, None
            self.vitals = None
            await worker.stop()
        _log.error("worker_died", exit_status=worker.exit_status)

    async def _next_event(self, worker: WorkerProcess) -> WorkerEvent | None:
        """The worker's next word; None when it is gone, or has been silent for too long.

        Two waits make up the silence: if this process itself was stopped for a while, what has
        come meanwhile is found by the second.
        """
        for is_silent in (False, True):
            self._is_silent = is_silent
            try:
                async with asyncio.timeout(self._silence_s / 2 if self._loaded_at else None):
                    return await worker.next_event()
            except TimeoutError:
                continue
        _log.error("worker_hangs", pid=worker.pid, num_jobs=len(self._jobs))
        return None

    def _take(self, event: WorkerEvent) -> None:
        match event:
            case Heartbeat(cost, vitals):
                self._outlook.learn(cost)
                self.vitals = vitals
            case Ready():
                self._loaded_at, self.load_failure = time.monotonic(), None
            case LoadFailed(message):
                self.load_failure = message
                _log.error("model_not_loaded", reason=message)
            case _:
                self._deliver(event)

    def _deliver(self, event: JobEvent) -> None:
        if job := self._jobs.get(event.job_id):
            job.events.put_nowait(event)
            match event:
                case Started(job_id):
                    self._outlook.start(job_id)
                case Progress():
                    self._outlook.progress(event)
                case Finished() | Failed():
                    del self._jobs[event.job_id]
                    self._outlook.remove(event.job_id)
                    job.permit.release()

    def _fail_all(self, code: str, reason: str) -> None:
        for job_id in list(self._jobs):
            self._fail(job_id, code, reason)

    def _fail(self, job_id: str, code: str, reason: str) -> None:
        message = f"{reason}; the job was not billed"
        self._deliver(Failed(job_id=job_id, code=code, message=message))


class _Job:
    """A job that is with the worker: its place in the queue, and its events so far."""

    def __init__(self, permit: Permit) -> None:
        self.permit = permit
        self.events: asyncio.Queue[JobEvent] = asyncio.Queue()

    async def read(self) -> AsyncIterator[JobEvent]:
        """The events, up to and with the last."""
        event: JobEvent | None = None
        while not isinstance(event, JobEnd):
            event = await self.events.get()
            yield event
