"""What the API process expects of the engine's queue: when jobs end, and whether one is in time.

In: jobs as they come, move on and go, and what work takes, as the worker has learned it. Out:
forecasts, and refusals of jobs that would end too late. It sends nothing and waits for nothing.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from photogram.core.errors import DeadlineExceededError, EngineOverloadedError
from photogram.core.messages import Forecast, GenerateJob, ModelInfo, Progress
from photogram.engine.batching import StepLimits
from photogram.engine.cost import CostModel, CostTable
from photogram.engine.forecast import forecast
from photogram.engine.request import Request


@dataclass(slots=True)
class _Course:
    """A job, when it came, and how far it is."""

    job: GenerateJob
    arrived_at: float
    step: int = 0
    is_begun: bool = False


class Outlook:
    """The jobs of one engine, and what becomes of them.

    Args:
        model: What the engine paints with.
        limits: How large its steps may be.
    """

    def __init__(self, model: ModelInfo, limits: StepLimits) -> None:
        self._model = model
        self._limits = limits
        self._cost = CostModel()
        self._courses: dict[str, _Course] = {}

    def learn(self, cost: CostTable) -> None:
        """Take over what the worker has learned."""
        self._cost = CostModel(cost)

    def add(self, job: GenerateJob) -> None:
        """A job was handed to the engine."""
        self._courses[job.job_id] = _Course(job, time.monotonic())

    def start(self, job_id: str) -> None:
        """The first work on a job has begun."""
        self._courses[job_id].is_begun = True

    def progress(self, event: Progress) -> None:
        """A job has moved on."""
        self._courses[event.job_id].step = event.step

    def remove(self, job_id: str) -> None:
        """A job has ended."""
        del self._courses[job_id]

    def forecast(self, job_id: str) -> Forecast | None:
        """What becomes of a job; None if it is not here."""
        return self._forecasts(self._courses.values()).get(job_id)

    def seconds_to_end(self) -> float:
        """Seconds until the first of all jobs ends; 0 if there is none."""
        forecasts = self._forecasts(self._courses.values())
        return min((each.finish_s for each in forecasts.values()), default=0.0)

    def check_deadline(self, job: GenerateJob) -> None:
        """Refuse a job that would end after its deadline.

        Raises:
            DeadlineExceededError: It would even with nothing else to do.
            EngineOverloadedError: It would because of what else is there.
        """
        newcomer = _Course(job, time.monotonic())
        everything = [*self._courses.values(), newcomer]
        if self._longest_s(everything) <= job.timeout_s:
            return
        alone_s = self._forecasts([newcomer])[job.job_id].finish_s
        if alone_s > job.timeout_s:
            raise DeadlineExceededError(
                f"this takes about {alone_s:.1f} seconds, and the deadline is {job.timeout_s:g}; "
                "nothing was billed"
            )
        finish_s = self._forecasts(everything)[job.job_id].finish_s
        if finish_s > job.timeout_s:
            raise EngineOverloadedError(
                f"the queue is too long: this would be ready in about {finish_s:.1f} seconds, and "
                f"the deadline is {job.timeout_s:g}",
                retry_after_s=finish_s - job.timeout_s,
            )

    def _longest_s(self, courses: Iterable[_Course]) -> float:
        """Seconds of all work one after the other: in whatever order, it is done by then."""
        cost = self._cost
        return sum(
            cost.begin_s
            + cost.encode_s(request.pixels_to_encode)
            + sum(
                cost.picture_s(request.load, request.num_pixels, sample.steps_left)
                for sample in request.samples
            )
            for request in map(self._request, courses)
        )

    def _forecasts(self, courses: Iterable[_Course]) -> dict[str, Forecast]:
        requests = [self._request(course) for course in courses]
        return forecast(requests, self._cost, self._limits, time.monotonic())

    def _request(self, course: _Course) -> Request:
        """A job as the engine has it; what it began with is taken as done."""
        num_tokens = self._model.num_tokens(course.job.width, course.job.height)
        request = Request(course.job, num_tokens, course.arrived_at, is_encoded=course.is_begun)
        for sample in request.samples:
            sample.step, sample.is_begun = course.step, course.is_begun
        return request
