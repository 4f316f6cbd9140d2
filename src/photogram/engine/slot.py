"""One model of a pool: its engine while it has one, and the jobs that wait for it to be loaded.

`load` and `unload` are called by the pool's one keeper, never both at once. A job that waits is handed
over with what is left of its time; its events are read as if it had been there all along.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from msgspec.structs import replace

from photogram.core.errors import (
    DeadlineExceededError,
    EngineOverloadedError,
    ModelUnavailableError,
)
from photogram.core.messages import (
    CANCELLED,
    DRAINING,
    WORKER_LOST,
    Failed,
    Finished,
    Forecast,
    GenerateJob,
    JobEvent,
    ModelInfo,
)
from photogram.core.ports import Engine, ModelReport, ModelState, Permit
from photogram.engine.admission import Admission
from photogram.engine.rotation import Standing

RETRY_S: Final = 60.0
"""A model that could not be loaded is not tried again before."""

_START_S: Final = 5.0
_BYTES_PER_S: Final = 500e6
"""Until it has been loaded once: a worker's start, and how fast weights are taken to be read."""

_POLL_S: Final = 0.05

_CLOSING: Final = "the server is shutting down; the job was not billed"

_log = structlog.get_logger(__name__)


class ModelEngine(Engine, Protocol):
    """An engine for one model, as the pool starts it."""

    @property
    def load_failure(self) -> str | None:
        """Why the model could not be loaded."""


@dataclass(frozen=True, slots=True)
class PooledModel:
    """One model, and how it is run.

    Attributes:
        size_bytes: Memory that it takes when it is loaded, as it is estimated.
        make_engine: Makes its engine; called for each loading.
    """

    info: ModelInfo
    size_bytes: int
    make_engine: Callable[[], ModelEngine]


class Wait:
    """A permit for a model that is not loaded; with a job, the job's place among those that wait.

    Args:
        place: In the bounded list of those that wait.
    """

    def __init__(self, place: Permit) -> None:
        self._place = place
        self._began_at = time.monotonic()
        self._waited_s = 0.0
        self._events: asyncio.Future[AsyncIterator[JobEvent] | Failed] = (
            asyncio.get_running_loop().create_future()
        )

    def release(self) -> None:
        """Give the place back."""
        self._place.release()

    def hand_over(self, job: GenerateJob, engine: Engine) -> None:
        """Let the engine have the job; what it refuses for a moment only is as good as lost."""
        self._waited_s = time.monotonic() - self._began_at
        left = replace(job, timeout_s=max(job.timeout_s - self._waited_s, 0.0))
        try:
            permit = engine.acquire(left)
        except DeadlineExceededError as error:
            self.fail(job.job_id, error.error_code, error.message)
        except EngineOverloadedError as error:
            is_final = error.error_code == DRAINING
            self.fail(job.job_id, DRAINING if is_final else WORKER_LOST, error.message)
        else:
            self.release()
            self._events.set_result(engine.submit(left, permit))

    def fail(self, job_id: str, code: str, message: str) -> None:
        """The job ends unpainted."""
        self.release()
        self._events.set_result(Failed(job_id=job_id, code=code, message=message))

    async def read(self) -> AsyncIterator[JobEvent]:
        """The job's events, up to and with the last."""
        events = await self._events
        if isinstance(events, Failed):
            yield events
            return
        async for event in events:
            if isinstance(event, Finished):
                yield replace(event, queue_time_s=event.queue_time_s + self._waited_s)
            else:
                yield event


class Slot:
    """One model, loaded or not.

    Args:
        model: Which.
        queue_limit: Jobs that may wait for it.

    Attributes:
        engine: There while the model is loading or loaded.
        is_needed: It is to be loaded although nobody waits for it.
        is_leaving: It takes no new jobs, because another model is to have its room.
        failure: Why it could not be loaded the last time.
        admission: Of those that wait.
        waiting: Job id -> its place.
    """

    def __init__(self, model: PooledModel, queue_limit: int) -> None:
        self.info = model.info
        self.size_bytes = model.size_bytes
        self.engine: ModelEngine | None = None
        self.is_needed = False
        self.is_leaving = False
        self.is_loading = False
        self.failure: str | None = None
        self.admission = Admission(queue_limit)
        self.waiting: dict[str, tuple[GenerateJob, Wait]] = {}
        self.used_at = 0.0
        self._make_engine = model.make_engine
        self._load_s = _START_S + model.size_bytes / _BYTES_PER_S
        self._began_at = 0.0
        self._loaded_at = 0.0
        self._failed_at = 0.0
        self._wanted_since: float | None = None

    @property
    def is_loaded(self) -> bool:
        """It takes jobs, or finishes its last ones."""
        return self.engine is not None and not self.is_loading

    @property
    def was_loaded(self) -> bool:
        """It was loaded at least once."""
        return self._loaded_at > 0

    @property
    def num_jobs(self) -> int:
        """With the engine, or waiting for it."""
        return self.admission.num_held + (self.engine.num_jobs if self.engine else 0)

    def open_engine(self) -> Engine | None:
        """The engine, if it takes new jobs."""
        return self.engine if self.is_loaded and not self.is_leaving else None

    def report(self) -> ModelReport:
        """How the model is, for those who watch."""
        vitals = self.engine.vitals if self.engine is not None else None
        return ModelReport(self.info.slug, self.state(), self.num_jobs, vitals)

    def state(self) -> ModelState:
        """How the model is."""
        if self.engine is not None:
            return "loaded" if self.is_loaded and self.engine.is_ready else "loading"
        return "failed" if self.seconds_to_retry() else "waiting"

    def standing(self, now: float) -> Standing:
        """The same for who decides what is loaded."""
        if not (self.is_needed or self.admission.num_held):
            self._wanted_since = None
        elif self._wanted_since is None:
            self._wanted_since = now
        return Standing(
            slug=self.info.slug,
            size_bytes=self.size_bytes,
            wanted_since=self._wanted_since,
            can_load=not self.seconds_to_retry(),
            is_loaded=self.is_loaded,
            is_idle=self.engine is None or self.engine.num_jobs == 0,
            used_at=self.used_at,
            loaded_at=self._loaded_at,
            load_s=self._load_s,
        )

    def wait(self, job: GenerateJob) -> Wait:
        """A place for a job until the model is loaded.

        Raises:
            ModelUnavailableError: It could not be loaded a moment ago.
            EngineOverloadedError: Too many wait, or the job's time is over before it is loaded.
        """
        if job.timeout_s <= 0:
            raise DeadlineExceededError
        if retry_s := self.seconds_to_retry():
            raise ModelUnavailableError(self._apology(), retry_after_s=retry_s)
        place = self.admission.acquire(is_ready=True, seconds_to_place=self.seconds_to_load)
        load_s = self.seconds_to_load()
        if load_s > job.timeout_s:
            place.release()
            self.is_needed = True  # so that it is there after `Retry-After`
            raise EngineOverloadedError(
                f"the model {self.info.slug} is not loaded yet; that takes about {load_s:.0f}"
                f" seconds, and the deadline is {job.timeout_s:g}",
                code="model_loading",
                retry_after_s=load_s,
            )
        return Wait(place)

    def submit(self, job: GenerateJob, wait: Wait) -> AsyncIterator[JobEvent]:
        """Let a job wait in its place."""
        self.waiting[job.job_id] = (job, wait)
        if self.admission.is_draining:
            self._fail_waiting(DRAINING, _CLOSING)
        elif self.seconds_to_retry():
            self._fail_waiting(ModelUnavailableError.code, self._apology())
        else:
            self.hand_over()
        return wait.read()

    def hand_over(self) -> None:
        """If the model takes jobs, it gets those that wait for it."""
        engine = self.open_engine()
        while engine is not None and self.waiting:
            job, wait = self.waiting.pop(next(iter(self.waiting)))
            wait.hand_over(job, engine)

    def drain(self) -> None:
        """Take no more jobs, and finish those that the engine has."""
        self.admission.is_draining = True
        if self.engine is not None:
            self.engine.drain()
        self._fail_waiting(DRAINING, _CLOSING)

    def cancel(self, job_id: str) -> None:
        """Stop a job, if it is here."""
        if job_id in self.waiting:
            _, wait = self.waiting.pop(job_id)
            wait.fail(job_id, CANCELLED, "the request was cancelled")
        elif self.engine is not None:
            self.engine.cancel(job_id)

    def _fail_waiting(self, code: str, message: str) -> None:
        """All jobs that wait end unpainted."""
        while self.waiting:
            job, wait = self.waiting.pop(next(iter(self.waiting)))
            wait.fail(job.job_id, code, message)

    def forecast(self, job_id: str) -> Forecast | None:
        """What is expected of a job; of one that waits, how long it takes is not known."""
        if job_id not in self.waiting:
            return self.engine.forecast(job_id) if self.engine is not None else None
        position = list(self.waiting).index(job_id) + 1
        load_s = self.seconds_to_load()
        return Forecast(queue_position=position, start_s=load_s, finish_s=load_s)

    def seconds_to_load(self) -> float:
        """About how long it is until the model can be loaded."""
        passed_s = time.monotonic() - self._began_at if self.is_loading else 0.0
        return max(self._load_s - passed_s, 1.0)

    def seconds_to_retry(self) -> float:
        """How long it is until a model that could not be loaded is tried again."""
        if self.failure is None:
            return 0.0
        return max(self._failed_at + RETRY_S - time.monotonic(), 0.0)

    async def load(self) -> None:
        """Load the model, and hand over who waits; if that fails, tell them."""
        self._began_at, self.is_loading = time.monotonic(), True
        engine = self.engine = self._make_engine()
        await engine.start()
        while not engine.is_ready and engine.load_failure is None:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(_POLL_S)
        self.is_loading, self.is_needed = False, False
        self.failure = engine.load_failure
        now = time.monotonic()
        if self.failure is None:
            self._loaded_at, self._load_s = now, now - self._began_at
            _log.info("model_loaded", model=self.info.slug, seconds=round(self._load_s, 1))
            self.hand_over()
        else:
            self._failed_at = now
            _log.error("model_not_loaded", model=self.info.slug, reason=self.failure)
            self._fail_waiting(ModelUnavailableError.code, self._apology())
            await self.unload()

    async def unload(self) -> None:
        """End the engine, which has no jobs; its memory is free when this returns."""
        engine, self.engine = self.engine, None
        if engine is not None:
            await engine.close()
            _log.info("model_unloaded", model=self.info.slug)

    def _apology(self) -> str:
        return (
            f"the model {self.info.slug} could not be loaded; the request was not billed, and the"
            " server's log says why"
        )
