"""The seam between the columns: what the request column asks of any engine.

The local engine (a worker process that owns torch) and a fake for tests implement it for one model,
and a pool of such for several. `bootstrap` chooses.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

from photogram.core.messages import Forecast, GenerateJob, JobEvent, ModelInfo, Vitals

ModelState = Literal["loaded", "loading", "waiting", "failed"]
"""Of a model: `waiting` to be asked for; `failed`, and not to be tried again for a while."""


@dataclass(frozen=True, slots=True)
class ModelReport:
    """How one model is.

    Attributes:
        num_jobs: Queued, running, or waiting for it to be loaded.
        vitals: How its worker was a second ago; None while there is none that has loaded.
    """

    slug: str
    state: ModelState
    num_jobs: int
    vitals: Vitals | None


class Permit(Protocol):
    """A place in the engine's bounded queue, held from admission to a job's last event."""

    def release(self) -> None:
        """Give the place back. Calling it again does nothing."""


class Engine(Protocol):
    """Runs jobs and streams what becomes of them."""

    @property
    def model(self) -> ModelInfo:
        """What the engine paints with."""

    @property
    def is_ready(self) -> bool:
        """A worker has loaded the model, and lives."""

    @property
    def num_jobs(self) -> int:
        """Permits held now: jobs queued or running."""

    @property
    def vitals(self) -> Vitals | None:
        """How its worker was a second ago; None while there is none that has loaded."""

    async def start(self) -> None:
        """Begin to load the model; returns at once, `is_ready` says when it is done."""

    @property
    def is_draining(self) -> bool:
        """It takes no new jobs, and finishes those that it has."""

    def drain(self) -> None:
        """Take no new jobs from now on: `acquire` refuses."""

    async def close(self) -> None:
        """Stop the workers; jobs that still run end as `Failed` with code `DRAINING`."""

    def acquire(self, job: GenerateJob) -> Permit:
        """Take a place in the queue for a job, before anything is written for it.

        Raises:
            EngineOverloadedError: With code ``model_loading``, ``not_ready`` (the worker is
                silent), ``queue_full`` (there are too many jobs, or so many that this one would end
                after its deadline) or ``draining``, and `retry_after_s`.
            DeadlineExceededError: The job takes longer than its deadline allows, even alone.
        """

    def submit(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        """Run a job; iterate to read its events, the last is `Finished` or `Failed`.

        `Started` comes before all others, and before the first work; a job that ends in the queue
        has none. A `Failed` with code `WORKER_LOST` says nothing about the job itself, unless it
        happens again and again.

        The job is handed over at the call, not at the first iteration. The permit is released
        with the last event.
        """

    def cancel(self, job_id: str) -> None:
        """Stop a job within one step; its last event is then a `Failed` with code `CANCELLED`.

        A job that is unknown or has ended is left as it is.
        """

    def forecast(self, job_id: str) -> Forecast | None:
        """What is expected of a job; None if it is unknown or has ended."""


class Engines(Engine, Protocol):
    """An engine for several models: each job says which it is for.

    `model` is the default one; `acquire` also raises `ModelUnavailableError`.
    """

    @property
    def load_failure(self) -> str | None:
        """Why no model can be loaded, where none can."""

    def report(self) -> tuple[ModelReport, ...]:
        """How each model is, the default one first."""
