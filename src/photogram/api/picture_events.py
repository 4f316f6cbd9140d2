"""The events of a request for pictures: `queued`, `progress`, `image`, `completed` or `error`."""

from collections.abc import Iterator
from dataclasses import dataclass

from photogram.api.answers import ImageAnswer, Metrics, as_credits
from photogram.api.errors import error_body, status_of
from photogram.api.streaming import ServerEvent
from photogram.core.errors import PhotogramError
from photogram.core.messages import Progress
from photogram.core.ports import Engine
from photogram.generation.dispatcher import Outcome
from photogram.generation.service import Run


@dataclass(frozen=True, slots=True)
class PictureEvents:
    """The words for one request; implements `EventWords`."""

    request_id: str
    seed: int
    engine: Engine

    def queued(self, run: Run) -> Iterator[ServerEvent]:
        forecast = self.engine.forecast(run.job_id)
        data = {
            "request_id": self.request_id,
            "status": "QUEUED",
            "seed": self.seed,
            "cost": as_credits(run.cost_micro),
            "queue_position": forecast.queue_position if forecast is not None else 0,
        }
        yield ServerEvent("queued", data)

    def progress(self, progress: Progress) -> Iterator[ServerEvent]:
        yield ServerEvent("progress", {"step": progress.step, "steps": progress.num_steps})

    def finished(self, outcome: Outcome) -> Iterator[ServerEvent]:
        finished = outcome.finished
        for index, image in enumerate(finished.images):
            yield ServerEvent("image", ImageAnswer.of(index, image).model_dump())
        data = {
            "request_id": self.request_id,
            "status": "COMPLETED",
            "seed": self.seed,
            "prompt_tokens": finished.prompt_tokens,
            "prompt_truncated": finished.prompt_truncated,
            "steps_executed": finished.num_steps,
            "metrics": Metrics.of(outcome).model_dump(),
        }
        yield ServerEvent("completed", data)

    def failed(self, error: PhotogramError) -> Iterator[ServerEvent]:
        body = error_body(error, self.request_id) | {"status": status_of(error)}
        yield ServerEvent("error", body)
