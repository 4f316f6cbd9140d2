"""A runner without a device, and an engine core around it that records its events."""

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from photogram.core.messages import EncodedImage, GenerateJob, JobEvent, ModelInfo
from photogram.engine.batching import StepLimits
from photogram.engine.core import EngineCore
from photogram.engine.cost import CostModel
from photogram.engine.request import Request, Sample
from photogram.engine.scheduler import Scheduler

TOKENS_PER_SAMPLE = 10
MODEL = ModelInfo(
    slug="recorded",
    name="Recorded",
    aspect_ratios={"1:1": (64, 64)},
    size_multiple=32,
    max_text_tokens=TOKENS_PER_SAMPLE - 4,
    has_guidance=True,
)


def job(
    job_id: str, *, num_steps: int = 2, seeds: tuple[int, ...] = (1,), **fields: Any
) -> GenerateJob:
    return GenerateJob(
        **{
            "job_id": job_id,
            "tenant": "t",
            "prompt": job_id,
            "width": 64,
            "height": 64,
            "num_steps": num_steps,
            "guidance": 3.5,
            "seeds": seeds,
        }
        | fields
    )


@dataclass
class RecordingRunner:
    """Remembers the batches; a prompt that ends in a stage's name fails there."""

    batches: list[list[str]] = field(default_factory=list)
    begun: list[tuple[str, int]] = field(default_factory=list)
    encoded: list[str] = field(default_factory=list)

    model = MODEL
    compiles = False

    def encode_source(self, request: Request) -> None:
        self._fail_if_asked(request.job.prompt, "its source")
        self.encoded.append(request.job.job_id)

    def begin(self, sample: Sample) -> None:
        self._fail_if_asked(sample.request.job.prompt, "begin")
        self.begun.append((sample.request.job.job_id, sample.seed))
        sample.state = sample.request.job.prompt

    def step(self, states: Sequence[str]) -> None:
        for state in states:
            self._fail_if_asked(state, "step")
        self.batches.append(list(states))

    def forget(self, state: str) -> None:
        pass

    def decode(self, state: str) -> str:
        self._fail_if_asked(state, "decode")
        return state

    def encode(self, pixels: str, sample: Sample) -> EncodedImage:
        self._fail_if_asked(pixels, "encode")
        return EncodedImage(
            seed=sample.seed, width=64, height=64, content_type="image/png", data=pixels.encode()
        )

    def preview(self, state: str) -> str:
        self._fail_if_asked(state, "preview")
        return f"preview of {state}"

    def encode_preview(self, pixels: str, sample: Sample) -> EncodedImage:
        self._fail_if_asked(pixels, "its encoding")
        return EncodedImage(
            seed=sample.seed, width=16, height=16, content_type="image/webp", data=pixels.encode()
        )

    def _fail_if_asked(self, prompt: str, stage: str) -> None:
        if prompt.endswith(f"fails at {stage}"):
            raise RuntimeError(stage)


class InlineExecutor(Executor):
    """Runs at once, on the caller's thread."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except RuntimeError as error:
            future.set_exception(error)
        return future


@dataclass
class RecordedCore:
    batch_tokens: int = 100
    runner: RecordingRunner = field(default_factory=RecordingRunner)
    events: list[JobEvent] = field(default_factory=list)
    encoders: Executor = field(default_factory=InlineExecutor)

    def __post_init__(self) -> None:
        limits = StepLimits(target_s=1e6, num_tokens=self.batch_tokens)
        scheduler = Scheduler(CostModel(), limits)
        self.core = EngineCore(
            self.runner, scheduler, self.events.append, self.encoders, clock=lambda: 0.0
        )

    def run(self, max_steps: int = 1000) -> None:
        for _ in range(max_steps):
            if not self.core.has_work:
                return
            self.core.step()
        raise AssertionError("the engine did not come to rest")

    def last_events(self) -> dict[str, JobEvent]:
        return {event.job_id: event for event in self.events}
