"""The events of a request for pictures: `queued`, `progress`, `image`, `completed` or `error`."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field

from photogram.api.answers import ImageAnswer, Metrics, as_credits
from photogram.api.errors import error_body, status_of
from photogram.api.streaming import ServerEvent
from photogram.core.errors import PhotogramError
from photogram.core.messages import Preview, Progress
from photogram.core.ports import Engine
from photogram.generation.closing import Outcome
from photogram.generation.service import Run


@dataclass(slots=True)
class PictureEvents:
    """The words for one request; implements `EventWords`."""

    request_id: str
    seed: int
    engine: Engine
    _progress: dict[str, int] = field(default_factory=dict, init=False)

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
        self._progress = {"step": progress.step, "steps": progress.num_steps}
        yield ServerEvent("progress", self._progress)

    def preview(self, preview: Preview) -> Iterator[ServerEvent]:
        # Of several pictures one may be ahead: `step` is what all of them have done, as always.
        shown = {
            "index": preview.index,
            "content_type": preview.content_type,
            "preview": b64encode(preview.data).decode("ascii"),
        }
        yield ServerEvent("progress", self._progress | shown)

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
