"""What has become of a job, in JSON.

Records of jobs come in, the shapes of ``/v2/requests`` go out. A failed job has a status of its own
there, because the SDKs of callers look for both.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field
from starlette.responses import Response

from photogram.api.answers import ErrorAnswer, Metrics
from photogram.api.links import Links
from photogram.generation.records import JobRecord, StoredImage
from photogram.generation.shelf import Advance
from photogram.generation.states import OPEN_STATES, JobState

FAILED = 422
"""The status of an answer about a job that has failed or was cancelled."""


class SubmittedAnswer(BaseModel):
    """A job that was admitted, and where to ask for it."""

    request_id: str
    status: Literal["QUEUED"] = "QUEUED"
    poll_url: str = Field(
        description="What has become of it, with its pictures once they are there."
    )
    status_url: str = Field(description="The same without the pictures.")
    response_url: str = Field(description="As `poll_url`.")
    cost: float = Field(description="Credits that are held for it, and taken if it succeeds.")

    @classmethod
    def of(cls, job_id: str, cost: float, links: Links) -> Self:
        """A job and its addresses."""
        url = links.request(job_id)
        return cls(
            request_id=job_id,
            poll_url=url,
            status_url=f"{url}/status",
            response_url=url,
            cost=cost,
        )


class StatusAnswer(BaseModel):
    """How far a job is."""

    request_id: str
    status: Literal["QUEUED", "PROCESSING", "COMPLETED", "FAILED"]
    progress: float | None = Field(None, description="The share of its steps that are done, 0-1.")
    queue_position: int | None = Field(
        None, description="1 for the job that starts next; while it is queued at this server."
    )
    start_s: float | None = Field(None, description="Predicted seconds until it starts.")
    finish_s: float | None = Field(None, description="Predicted seconds until it has ended.")
    error: str | None = Field(None, description="Why it failed, for people.")
    code: str | None = Field(None, description="Why it failed, for programs.")


class FailedAnswer(ErrorAnswer):
    """A job that has failed or was cancelled; it was not billed."""

    status: Literal["FAILED"]


class JobImage(BaseModel):
    """A picture that can be fetched."""

    url: str = Field(description="Needs no key.")
    content_type: str
    file_name: str
    file_size: int = Field(description="Bytes.")
    seed: int
    width: int
    height: int

    @classmethod
    def of(cls, image: StoredImage, links: Links) -> Self:
        """A stored picture."""
        return cls(
            url=links.files + image.file_name,
            content_type=image.content_type,
            file_name=image.file_name,
            file_size=image.size_bytes,
            seed=image.seed,
            width=image.width,
            height=image.height,
        )


class Timings(BaseModel):
    """Seconds of the model's work."""

    inference: float


class JobAnswer(BaseModel):
    """A job that has succeeded."""

    request_id: str
    status: Literal["COMPLETED"] = "COMPLETED"
    output: str = Field(description="The address of the first picture.")
    images: Sequence[JobImage]
    seed: int = Field(description="Of the first picture.")
    prompt: str | None = Field(description="Null once it was forgotten.")
    prompt_tokens: int
    prompt_truncated: bool
    steps_executed: int
    expires_at: datetime = Field(description="The pictures are removed some time after it.")
    timings: Timings
    metrics: Metrics


Told = StatusAnswer | FailedAnswer | JobAnswer
"""All that can be said of a job."""


def status_answer(name: str, job: JobRecord, advance: Advance) -> StatusAnswer:
    """How far a job is.

    Args:
        name: What the client calls it.
        job: The job.
        advance: Its progress, if it is open.
    """
    match job.state:
        case JobState.QUEUED:
            return StatusAnswer(
                request_id=name,
                status="QUEUED",
                progress=0.0,
                queue_position=advance.queue_position,
                start_s=_rounded(advance.start_s),
                finish_s=_rounded(advance.finish_s),
            )
        case JobState.RUNNING:
            finish_s = _rounded(advance.finish_s)
            return StatusAnswer(
                request_id=name, status="PROCESSING", progress=advance.progress, finish_s=finish_s
            )
        case JobState.SUCCEEDED:
            return StatusAnswer(request_id=name, status="COMPLETED", progress=1.0)
        case JobState.FAILED | JobState.CANCELLED:
            failed = failed_answer(name, job)
            return StatusAnswer(
                request_id=name, status="FAILED", error=failed.error, code=failed.code
            )


def job_answer(name: str, job: JobRecord, advance: Advance, links: Links) -> Told:
    """What has become of a job, with its pictures.

    Args:
        name: What the client calls it.
        job: The job.
        advance: Its progress, if it is open.
        links: Where its pictures are.
    """
    if job.state in OPEN_STATES:
        return status_answer(name, job, advance)
    if job.state != JobState.SUCCEEDED:
        return failed_answer(name, job)
    figures = job.figures
    if figures is None:  # of a version that kept no pictures
        return status_answer(name, job, advance)
    images = [JobImage.of(each, links) for each in job.images]
    return JobAnswer(
        request_id=name,
        output=images[0].url,
        images=images,
        seed=images[0].seed,
        prompt=job.order.prompt if job.order else None,
        prompt_tokens=figures.prompt_tokens,
        prompt_truncated=figures.prompt_truncated,
        steps_executed=figures.num_steps,
        expires_at=job.images[0].expires_at,
        timings=Timings(inference=round(figures.generation_time_s, 3)),
        metrics=Metrics.kept(figures),
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def failed_answer(name: str, job: JobRecord) -> FailedAnswer:
    """Why a job has no pictures."""
    return FailedAnswer(
        request_id=name,
        status="FAILED",
        error=job.error_message or "the request failed; it was not billed",
        code=job.error_code or "inference_failed",
        details=[],
    )


def as_response(answer: Told) -> Response:
    """A job's answer over HTTP, with the status that says whether it has failed."""
    return Response(
        answer.model_dump_json(exclude_none=isinstance(answer, StatusAnswer)),
        FAILED if answer.status == "FAILED" else 200,
        media_type="application/json",
    )
