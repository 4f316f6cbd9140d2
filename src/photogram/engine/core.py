"""The engine: `step()` is schedule, run, collect.

Jobs and cancellations come in, events go out through one callable. It knows no process, no socket
and no tensor: the scheduler decides, the runner works, and this module keeps a failure where it
belongs, and tells the cost model how long the work took.
"""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import NamedTuple

import structlog

from photogram.core.errors import DeadlineExceededError, EngineFailedError, PhotogramError
from photogram.core.messages import (
    CANCELLED,
    CancelJob,
    Command,
    EncodedImage,
    Failed,
    Finished,
    GenerateJob,
    JobEvent,
    Preview,
    Progress,
    Started,
    Vitals,
)
from photogram.engine.cost import Load
from photogram.engine.device import Runner
from photogram.engine.request import Request, Sample
from photogram.engine.scheduler import Plan, Scheduler
from photogram.engine.watch import Watch

_ENCODE_WAIT_S = 0.005
_MOST_ENCODING = 16
"""While so many files are to be written, no previews are added: they are to be quick or not at all."""

_log = structlog.get_logger(__name__)


class _Encoding(NamedTuple):
    """A preview that is being encoded, and the step after which it was drawn."""

    future: Future[EncodedImage]
    sample: Sample
    step: int


class EngineCore:
    """Runs all jobs of one device.

    Args:
        runner: Does the work.
        scheduler: Chooses it.
        emit: Takes every event.
        encoders: Threads on which picture files are written, beside the steps.
        clock: Seconds that never go back.

    Attributes:
        watch: Tells another thread whether the work gets on.
        vitals: The steps until now; what the device holds is not among it.
    """

    def __init__(
        self,
        runner: Runner,
        scheduler: Scheduler,
        emit: Callable[[JobEvent], None],
        encoders: Executor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runner = runner
        self._scheduler = scheduler
        self._emit = emit
        self._encoders = encoders
        self._clock = clock
        self.watch = Watch()
        self.vitals = Vitals()
        self._requests: dict[str, Request] = {}
        self._encoding: dict[Future[EncodedImage], Sample] = {}
        self._previews: deque[_Encoding] = deque()
        self._shapes: set[tuple[int, int]] = set()

    @property
    def has_work(self) -> bool:
        return bool(self._requests)

    def handle(self, command: Command) -> None:
        """Take a new job, or cancel one; both take effect at the next step."""
        match command:
            case GenerateJob():
                self._add(command)
            case CancelJob(job_id):
                if request := self._requests.get(job_id):
                    self._fail(request, CANCELLED, "the job was cancelled")

    def step(self) -> None:
        """Schedule, run, collect."""
        now = self._clock()
        for request in self._scheduler.late(now):
            error = DeadlineExceededError()
            self._fail(request, error.error_code, error.message)
        self._run(self._scheduler.schedule(now))
        self._collect()

    def _run(self, plan: Plan) -> None:
        is_new = self._may_compile(plan) or any(map(_may_read_adapters, plan.begin))
        began_at = self._clock()
        with self.watch.over(plan.seconds, is_new=is_new):
            if plan.encode is not None:
                self._encode_source(plan.encode)
            for sample in plan.begin:
                self._begin(sample)
            self._denoise([sample for sample in plan.batch if self._is_live(sample)])
            if plan.decode is not None and self._is_live(plan.decode):
                self._decode(plan.decode)
        if plan.seconds and not is_new:
            self.watch.learn(plan.seconds, self._clock() - began_at)

    def _may_compile(self, plan: Plan) -> bool:
        """Whether the device has not run such work yet, and compiles what is new to it."""
        if not self._runner.compiles:
            return False
        shapes = {(len(plan.batch), sample.request.num_tokens) for sample in plan.batch}
        if plan.decode is not None:
            shapes.add((0, plan.decode.request.num_pixels))
        if plan.encode is not None:
            shapes.add((-1, plan.encode.num_pixels))
        is_new = not shapes <= self._shapes
        self._shapes |= shapes
        return is_new

    def _add(self, job: GenerateJob) -> None:
        num_tokens = self._runner.model.num_tokens(job.width, job.height)
        request = Request(job, num_tokens, self._clock())
        self._requests[job.job_id] = request
        self._scheduler.add(request)

    def _is_live(self, sample: Sample) -> bool:
        return self._requests.get(sample.request.job.job_id) is sample.request

    def _begin(self, sample: Sample) -> None:
        if not self._is_live(sample):  # an earlier sample of the same request just failed
            return
        request, began_at = sample.request, self._clock()
        self._start(request, began_at)
        try:
            self._runner.begin(sample)
        except Exception as error:  # noqa: BLE001 one request's failure is its own
            self._fail_with(request, error)
            return
        if not request.is_conditioned:  # the other samples share the encoded prompt
            request.is_conditioned = True
            if not request.job.adapters:
                self._scheduler.cost.observe_begin(self._clock() - began_at)

    def _encode_source(self, request: Request) -> None:
        began_at = self._clock()
        self._start(request, began_at)
        try:
            self._runner.encode_source(request)
        except Exception as error:  # noqa: BLE001 one request's failure is its own
            self._fail_with(request, error)
            return
        self._scheduler.cost.observe_encode(request.num_pixels, self._clock() - began_at)

    def _start(self, request: Request, now: float) -> None:
        """Say that the first work on a request begins, unless it was said."""
        if request.started_at is None:
            self._emit(Started(request.job.job_id))
            request.started_at = now

    def _denoise(self, batch: list[Sample]) -> None:
        try:
            self._step_together(batch)
        except Exception as error:  # noqa: BLE001 found out below whose failure it is
            if len(batch) == 1:
                self._fail_with(batch[0].request, error)
                return
            _log.warning("batch_failed_retrying_alone", num_samples=len(batch), exc_info=error)
        else:
            return
        # Not above: there the error still holds the memory of the step that failed.
        for sample in batch:
            if self._is_live(sample):
                self._denoise([sample])

    def _step_together(self, batch: list[Sample]) -> None:
        if not batch:
            return
        began_at = self._clock()
        self._runner.step([sample.state for sample in batch])
        load = Load.together(sample.request.load for sample in batch)
        seconds = self._clock() - began_at
        self._scheduler.cost.observe_step(load, seconds)
        self.vitals = self.vitals.after_step(len(batch), seconds)
        for sample in batch:
            sample.step += 1
        for request in dict.fromkeys(sample.request for sample in batch):
            job = request.job
            self._emit(Progress(job.job_id, request.step, job.num_steps_run))
        for sample in batch:
            if sample.step in sample.request.job.preview_steps:
                self._preview(sample)

    def _preview(self, sample: Sample) -> None:
        """Show how far a picture is, unless the encoders are behind."""
        if len(self._previews) + len(self._encoding) >= _MOST_ENCODING:
            return
        try:
            pixels = self._runner.preview(sample.state)
        except Exception as error:  # noqa: BLE001 the picture may come all the same
            _log.warning("preview_failed", job_id=sample.request.job.job_id, exc_info=error)
            return
        future = self._encoders.submit(self._runner.encode_preview, pixels, sample)
        self._previews.append(_Encoding(future, sample, sample.step))

    def _decode(self, sample: Sample) -> None:
        request, began_at = sample.request, self._clock()
        try:
            pixels = self._runner.decode(sample.state)
        except Exception as error:  # noqa: BLE001 one request's failure is its own
            self._fail_with(request, error)
            return
        self._scheduler.cost.observe_decode(request.num_pixels, self._clock() - began_at)
        sample.state = None
        self._encoding[self._encoders.submit(self._runner.encode, pixels, sample)] = sample

    def _collect(self) -> None:
        while self._previews and self._previews[0].future.done():  # in the order of their steps
            self._show(self._previews.popleft())
        if self._encoding and not self._scheduler.has_work:
            # Not for long: a new job or a cancellation may be waiting to be handled.
            wait(self._encoding, timeout=_ENCODE_WAIT_S, return_when=FIRST_COMPLETED)
        for future in [future for future in self._encoding if future.done()]:
            sample = self._encoding.pop(future)
            if not self._is_live(sample):
                continue
            if (error := future.exception()) is not None:
                self._fail_with(sample.request, error)
                continue
            sample.image = future.result()
            self._finish_if_complete(sample.request)

    def _show(self, preview: _Encoding) -> None:
        request = preview.sample.request
        if not self._is_live(preview.sample):
            return
        if (error := preview.future.exception()) is not None:
            _log.warning("preview_failed", job_id=request.job.job_id, exc_info=error)
            return
        image = preview.future.result()
        self._emit(
            Preview(
                job_id=request.job.job_id,
                index=request.samples.index(preview.sample),
                step=preview.step,
                content_type=image.content_type,
                data=image.data,
            )
        )

    def _finish_if_complete(self, request: Request) -> None:
        images, job, started_at = request.images, request.job, request.started_at
        if images is None or started_at is None:
            return
        del self._requests[job.job_id]
        self._emit(
            Finished(
                job_id=job.job_id,
                images=images,
                prompt_tokens=request.prompt_tokens,
                prompt_truncated=request.prompt_truncated,
                num_steps=job.num_steps_run,
                queue_time_s=started_at - request.arrived_at,
                generation_time_s=self._clock() - started_at,
            )
        )

    def _fail_with(self, request: Request, error: BaseException) -> None:
        _log.error("job_failed", job_id=request.job.job_id, exc_info=error)
        if isinstance(error, PhotogramError):
            self._fail(request, error.error_code, error.message)
        else:
            self._fail(request, EngineFailedError.code, EngineFailedError().message)

    def _fail(self, request: Request, code: str, message: str) -> None:
        del self._requests[request.job.job_id]
        self._scheduler.remove(request)
        self._emit(Failed(job_id=request.job.job_id, code=code, message=message))


def _may_read_adapters(sample: Sample) -> bool:
    """Whether files are read before it begins, which its prediction knows nothing of."""
    return bool(sample.request.job.adapters) and not sample.request.is_conditioned
