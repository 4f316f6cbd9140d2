"""The local engine: a worker process of this machine, watched and restarted.

It implements `core.ports.Engine` in the API process and imports no torch. One pipe carries the
messages; when it closes, the worker is dead: its jobs end as failed (and so unbilled), and a new
one is started.
"""

import asyncio
import os
import queue
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import msgspec
import structlog

from photogram.core.errors import EngineFailedError
from photogram.core.messages import (
    DRAINING,
    CancelJob,
    Command,
    Failed,
    Finished,
    GenerateJob,
    JobEvent,
    ModelInfo,
    Progress,
    Ready,
)
from photogram.core.ports import Permit
from photogram.engine.admission import Admission

_RESTART_DELAYS_S = (0.0, 1.0, 5.0, 15.0)
"""Pauses before a restart, by how many starts in a row did not load; the last one repeats."""

_NUM_STARTS = 2
"""So many starts in a row that did not load are told as a failure to load."""

_CLOSE_TIMEOUT_S = 5.0

_log = structlog.get_logger(__name__)


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is started with; the words are those of `core.settings`."""

    model: str
    device: str
    dtype: str
    threads: int
    batch_tokens: int
    log_level: str


class LoadFailed(msgspec.Struct, frozen=True, tag="load_failed"):
    """The worker could not load its checkpoint, and leaves."""

    message: str


_Event = Ready | LoadFailed | Progress | Finished | Failed


class LocalEngine:
    """One worker process behind a bounded queue.

    Args:
        model: What the checkpoint can do.
        config: How the worker is started.
        queue_limit: Jobs queued or running at once.
        stall_timeout_s: A worker that has jobs and says nothing for so long is replaced.
    """

    def __init__(
        self, model: ModelInfo, config: WorkerConfig, *, queue_limit: int, stall_timeout_s: float
    ) -> None:
        self.model = model
        self.is_ready = False
        self.load_failure: str | None = None
        self._config = config
        self._stall_timeout_s = stall_timeout_s
        self._admission = Admission(queue_limit)
        self._jobs: dict[str, _Job] = {}
        self._worker: _Worker | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._num_failed_starts = 0

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

    def acquire(self) -> Permit:
        return self._admission.acquire(is_ready=self.is_ready)

    def submit(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        record = _Job(permit)
        self._jobs[job.job_id] = record
        if self._worker is not None:
            self._worker.send(job)
        elif self.is_draining:
            self._fail(job.job_id, DRAINING, "the server is shutting down")
        else:
            self._fail(job.job_id, EngineFailedError.code, "the model's process is not there")
        return record.read()

    def cancel(self, job_id: str) -> None:
        if job_id in self._jobs and self._worker is not None:
            self._worker.send(CancelJob(job_id))

    async def _supervise(self) -> None:
        """Keep one worker alive until cancelled."""
        while True:
            self._num_failed_starts += 1  # until it says that it is ready
            try:
                await self._run_worker()
            except (OSError, subprocess.SubprocessError):
                _log.exception("worker_failed")
            self._fail_all(EngineFailedError.code, "the model's process ended")
            if self._num_failed_starts >= _NUM_STARTS and self.load_failure is None:
                self.load_failure = (
                    f"the model's process ended {self._num_failed_starts} times before the model"
                    " was loaded; the log says why (status -9: too little memory)"
                )
            longest = len(_RESTART_DELAYS_S) - 1
            await asyncio.sleep(_RESTART_DELAYS_S[min(self._num_failed_starts, longest)])

    async def _run_worker(self) -> None:
        """One worker, from its start to its end.

        Raises:
            OSError: It could not be started.
            subprocess.SubprocessError: It did not end when it was killed.
        """
        worker = _Worker(self._config)
        self._worker = worker
        try:
            while (event := await self._next_event(worker)) is not None:
                self._take(event)
        finally:
            self.is_ready = False
            self._worker = None
            await worker.stop()
        _log.error("worker_died", exit_status=worker.exit_status)

    async def _next_event(self, worker: "_Worker") -> _Event | None:
        """The worker's next word; None when it is gone, or hangs with jobs in its hands."""
        while True:
            had_jobs = bool(self._jobs)
            try:
                async with asyncio.timeout(self._stall_timeout_s):
                    return await worker.next_event()
            except TimeoutError:
                if had_jobs and self._jobs:
                    _log.exception("worker_hangs", pid=worker.pid)
                    return None

    def _take(self, event: _Event) -> None:
        match event:
            case Ready():
                self.is_ready, self.load_failure = True, None
                self._num_failed_starts = 0
            case LoadFailed(message):
                self.load_failure = message
                _log.error("model_not_loaded", reason=message)
            case _:
                self._deliver(event)

    def _deliver(self, event: JobEvent) -> None:
        if job := self._jobs.get(event.job_id):
            job.events.put_nowait(event)
            if not isinstance(event, Progress):
                del self._jobs[event.job_id]
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
        while event is None or isinstance(event, Progress):
            event = await self.events.get()
            yield event


class _Worker:
    """One worker process and its pipe; two threads wait for it, so that the event loop never does."""

    def __init__(self, config: WorkerConfig) -> None:
        self._pipe, theirs = Pipe()
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[_Event | None] = asyncio.Queue()
        self._outbox: queue.SimpleQueue[WorkerConfig | Command | None] = queue.SimpleQueue()
        self._process = _spawn(theirs)
        theirs.close()
        self._outbox.put(config)
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        return self._process.returncode

    def send(self, command: Command) -> None:
        """Hand a command over. A worker that is gone does not get it, and `next_event` says so."""
        self._outbox.put(command)

    async def next_event(self) -> _Event | None:
        """What the worker says next; None once it is gone."""
        return await self._events.get()

    async def stop(self) -> None:
        """Kill the process if it still lives, and wait for its end.

        A worker has nothing to save, and in the middle of a step it would not listen.
        """
        self._process.kill()
        self._outbox.put(None)
        await asyncio.to_thread(self._process.wait, _CLOSE_TIMEOUT_S)

    def _write(self) -> None:
        with suppress(OSError):  # the worker's end, which the reader tells
            while (message := self._outbox.get()) is not None:
                self._pipe.send_bytes(msgspec.msgpack.encode(message))

    def _read(self) -> None:
        decoder = msgspec.msgpack.Decoder(_Event)
        try:
            while True:
                self._post(decoder.decode(self._pipe.recv_bytes()))
        except (EOFError, OSError):
            pass  # the worker's end
        finally:
            self._post(None)

    def _post(self, event: _Event | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)


def _spawn(pipe: Connection) -> "subprocess.Popen[bytes]":
    """Start a worker that inherits its end of the pipe, and no other file of this process."""
    return subprocess.Popen(  # noqa: S603 nothing of the command comes from outside
        # -P: a module in the folder that the server was started in is not the worker's.
        [sys.executable, "-P", "-m", "photogram.engine.worker", str(pipe.fileno())],
        pass_fds=[pipe.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # a command's own output is for its user
        env=os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
