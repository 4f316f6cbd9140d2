"""An engine without a model: the same queue, events and failures, for tests of what stands above.

It draws no picture that anyone could take for one: every image is a small flat file whose colour
follows from its seed, and from the picture that it begins from, encoded by the same code as the real
ones.
"""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from photogram.core.errors import EngineFailedError
from photogram.core.messages import (
    CANCELLED,
    CONTENT_TYPES,
    DRAINING,
    WORKER_LOST,
    EncodedImage,
    Failed,
    Finished,
    Forecast,
    GenerateJob,
    JobEvent,
    ModelInfo,
    Preview,
    Progress,
    Started,
    Vitals,
)
from photogram.core.ports import ModelReport, ModelState, Permit
from photogram.engine.admission import Admission
from photogram.imaging.encode import encode
from photogram.imaging.metadata import ImageMetadata
from photogram.imaging.source import read_source

FAKE_MODEL = ModelInfo(
    slug="fake",
    name="Fake",
    aspect_ratios={
        "1:1": (64, 64),
        "16:9": (96, 48),
        "9:16": (48, 96),
        "21:9": (96, 48),
        "9:21": (48, 96),
        "3:2": (80, 48),
        "2:3": (48, 80),
        "4:5": (48, 64),
        "5:4": (64, 48),
        "3:4": (48, 64),
        "4:3": (64, 48),
    },
    size_multiple=16,
    max_text_tokens=32,
    has_guidance=True,
)


class FakeEngine:
    """Implements `core.ports.Engine` on the event loop.

    Args:
        model: What it says it paints with.
        step_s: Seconds of one denoising step; jobs run all at once.
        fail_with: If set, every job fails after its first step, with this message.
        losses: So many submissions lose their worker right after they have started.
        queue_limit: Jobs at once.
        is_ready: Whether it takes jobs.
        load_failure: Why it cannot be started.
    """

    def __init__(
        self,
        *,
        model: ModelInfo = FAKE_MODEL,
        step_s: float = 0.0,
        fail_with: str | None = None,
        losses: int = 0,
        queue_limit: int = 256,
        is_ready: bool = True,
        load_failure: str | None = None,
    ) -> None:
        self.model = model
        self.is_ready = is_ready
        self.load_failure = load_failure
        self.step_s = step_s
        self.fail_with = fail_with
        self.losses = losses
        self.submitted: list[GenerateJob] = []
        self.steps_run: dict[str, int] = {}
        self._admission = Admission(queue_limit)
        self._cancelled: dict[str, asyncio.Event] = {}

    @property
    def num_jobs(self) -> int:
        return self._admission.num_held

    @property
    def vitals(self) -> Vitals | None:
        num_steps = sum(self.steps_run.values())
        return Vitals(
            num_steps=num_steps,
            num_step_samples=num_steps,
            step_s=num_steps * self.step_s,
            last_step_samples=min(num_steps, 1),
            last_step_s=self.step_s,
            device="fake",
        )

    async def start(self) -> None:
        self.is_ready = self.load_failure is None

    @property
    def is_draining(self) -> bool:
        return self._admission.is_draining

    def drain(self) -> None:
        self._admission.is_draining = True

    async def close(self) -> None:
        self.drain()
        self.is_ready = False
        for cancelled in self._cancelled.values():
            cancelled.set()

    def report(self) -> tuple[ModelReport, ...]:
        """As `core.ports.Engines` asks: it is its own pool."""
        state: ModelState = "loaded" if self.is_ready else "loading"
        return (ModelReport(self.model.slug, state, self.num_jobs, self.vitals),)

    def acquire(self, job: GenerateJob) -> Permit:
        return self._admission.acquire(
            is_ready=self.is_ready, seconds_to_place=lambda: job.num_steps_run * self.step_s
        )

    def submit(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        self.submitted.append(job)
        self._cancelled[job.job_id] = asyncio.Event()
        return self._run(job, permit)

    def cancel(self, job_id: str) -> None:
        if job_id in self._cancelled:
            self._cancelled[job_id].set()

    def forecast(self, job_id: str) -> Forecast | None:
        job = next((job for job in self.submitted if job.job_id == job_id), None)
        if job is None or job_id not in self._cancelled:
            return None
        left_s = (job.num_steps_run - self.steps_run.get(job_id, 0)) * self.step_s
        return Forecast(queue_position=0, start_s=0.0, finish_s=left_s)

    async def _run(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        cancelled = self._cancelled[job.job_id]
        try:
            yield Started(job.job_id)
            if self.losses > 0:
                self.losses -= 1
                yield Failed(job_id=job.job_id, code=WORKER_LOST, message=WORKER_LOST)
                return
            try:
                tint = _tint(job)
            except EngineFailedError as error:
                yield Failed(job_id=job.job_id, code=error.error_code, message=error.message)
                return
            for step in range(1, job.num_steps_run + 1):
                await asyncio.sleep(self.step_s)
                if cancelled.is_set():
                    code = CANCELLED if self.is_ready else DRAINING
                    yield Failed(job_id=job.job_id, code=code, message=code)
                    return
                self.steps_run[job.job_id] = step
                yield Progress(job.job_id, step, job.num_steps_run)
                if step in job.preview_steps:
                    for preview in _previews(job, step, self.model, tint):
                        yield preview
                if self.fail_with is not None:
                    yield Failed(job_id=job.job_id, code="inference_failed", message=self.fail_with)
                    return
            yield _finish(job, self.model, tint)
        finally:
            del self._cancelled[job.job_id]
            permit.release()


def _tint(job: GenerateJob) -> NDArray[np.uint8]:
    """(3,): the mean colour of what is painted over; black where a job begins from noise.

    Raises:
        EngineFailedError: The source's files are not what they should be.
    """
    source, size = job.source, (job.width, job.height)
    if source is None:
        return np.zeros(3, np.uint8)
    pixels = read_source(source.image, "RGB", size)
    if source.mask is not None:
        painted = read_source(source.mask, "L", size) >= 128
        pixels = pixels[painted] if painted.any() else pixels
    return np.asarray(pixels.reshape(-1, 3).mean(axis=0), dtype=np.uint8)


def _finish(job: GenerateJob, model: ModelInfo, tint: NDArray[np.uint8]) -> Finished:
    images = tuple(_flat_image(job, seed, model, tint) for seed in job.seeds)
    return Finished(
        job_id=job.job_id,
        images=images,
        prompt_tokens=len(job.prompt.split()) + 1,
        prompt_truncated=len(job.prompt.split()) >= model.max_text_tokens,
        num_steps=job.num_steps_run,
        queue_time_s=0.0,
        generation_time_s=0.001,
    )


def _previews(
    job: GenerateJob, step: int, model: ModelInfo, tint: NDArray[np.uint8]
) -> list[Preview]:
    small = replace(job, width=job.width // 4, height=job.height // 4, image_format="jpeg")
    images = [_flat_image(small, seed, model, tint) for seed in job.seeds]
    return [
        Preview(
            job_id=job.job_id,
            index=index,
            step=step,
            content_type=image.content_type,
            data=image.data,
        )
        for index, image in enumerate(images)
    ]


def _flat_image(
    job: GenerateJob, seed: int, model: ModelInfo, tint: NDArray[np.uint8]
) -> EncodedImage:
    colour = np.array([seed % 251, seed % 241, seed % 239], dtype=np.uint8) ^ tint
    pixels = np.ascontiguousarray(np.broadcast_to(colour, (job.height, job.width, 3)))
    metadata = ImageMetadata(
        model=model.slug,
        seed=seed,
        steps=job.num_steps,
        guidance=job.guidance,
        width=job.width,
        height=job.height,
        adapters=job.adapters,
        first_step=None if job.source is None else job.source.first_step,
    )
    return EncodedImage(
        seed=seed,
        width=job.width,
        height=job.height,
        content_type=CONTENT_TYPES[job.image_format],
        data=encode(pixels, job.image_format, job.quality, metadata=metadata),
    )
