"""A device that takes time only on a clock of its own, and an engine core on it.

Its costs are a table; `noise` makes every piece of work take longer or shorter than the table says.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from photogram.core.messages import (
    CancelJob,
    EncodedImage,
    Failed,
    Finished,
    GenerateJob,
    JobEvent,
    ModelInfo,
)
from photogram.engine.batching import StepLimits
from photogram.engine.core import EngineCore
from photogram.engine.cost import CostModel, CostTable, Load
from photogram.engine.request import Request, Sample
from photogram.engine.scheduler import Scheduler
from tests.unit.engine.recording import InlineExecutor, job

EMBEDDED = CostTable(
    step=(4.3e-3, 1e-4, 1e-4, 0.0),
    begin=(10.5e-3,),
    encode=(2e-3, 7e-7),
    decode=(2.3e-3, 8.77e-7),
)
"""The embedded model on one core of an AMD EPYC: 14 ms a step of 96 tokens, 43 ms of four such."""

LARGE = CostTable(
    step=(2e-3, 5e-4, 1.5e-5, 1.3e-9), begin=(35e-3,), encode=(5e-3, 4e-8), decode=(5e-3, 8e-8)
)
"""As a GPU would have it with FLUX.1 [dev]: 0.1 s a step of 1024x1024, and no gain by batching."""

EMBEDDED_MODEL = ModelInfo(
    slug="small",
    name="Small",
    aspect_ratios={"1:1": (256, 256)},
    size_multiple=32,
    max_text_tokens=32,
    has_guidance=True,
)
LARGE_MODEL = ModelInfo(
    slug="large",
    name="Large",
    aspect_ratios={"1:1": (1024, 1024)},
    size_multiple=16,
    max_text_tokens=512,
    has_guidance=True,
)
LIMITS = StepLimits(target_s=0.15, num_tokens=9216)


@dataclass
class Simulation:
    """Runs jobs on a pretended device.

    Attributes:
        table: What work truly takes.
        known: What the engine believes at first; the truth by default.
        now: Its clock.
        busy_s: Seconds in which the device worked.
        ended: Job id -> when it ended.
        last: Job id -> its last event.
        batches: Of every step: when it ended, and the job and seed of each sample.
        encoded: How often the picture that a job begins from was encoded.
        decoded: How often the picture of a job and seed was decoded.
        served_s: Tenant -> seconds of its work, each piece as if run alone.
        turns: Seconds of every turn of the engine.
    """

    table: CostTable = EMBEDDED
    model: ModelInfo = EMBEDDED_MODEL
    limits: StepLimits = LIMITS
    known: CostTable | None = None
    noise: float = 0.0
    seed: int = 0
    now: float = 0.0
    busy_s: float = 0.0
    ended: dict[str, float] = field(default_factory=dict)
    last: dict[str, JobEvent] = field(default_factory=dict)
    batches: list[tuple[float, list[tuple[str, int]]]] = field(default_factory=list)
    decoded: Counter[tuple[str, int]] = field(default_factory=Counter)
    encoded: Counter[str] = field(default_factory=Counter)
    served_s: Counter[str] = field(default_factory=Counter)
    turns: list[float] = field(default_factory=list)

    compiles = False

    def __post_init__(self) -> None:
        self._truth = CostModel(self.table)
        self._random = np.random.default_rng(self.seed)
        self.scheduler = Scheduler(CostModel(self.known or self.table), self.limits)
        encoders: Executor = InlineExecutor()
        self.core = EngineCore(self, self.scheduler, self._emit, encoders, clock=lambda: self.now)

    def forget(self, state: Sample) -> None:
        raise NotImplementedError  # nothing is measured here

    def encode_source(self, request: Request) -> None:
        seconds = self._truth.encode_s(request.num_pixels)
        self._work(seconds)
        self._serve(request.samples[0], seconds)
        self.encoded[request.job.job_id] += 1

    def begin(self, sample: Sample) -> None:
        if not sample.request.is_conditioned:
            self._work(self._truth.begin_s)
        self._serve(sample, self._truth.begin_s)
        sample.state = sample

    def step(self, states: Sequence[Sample]) -> None:
        self._work(self._truth.step_s(Load.together(state.request.load for state in states)))
        for state in states:
            self._serve(state, self._truth.step_s(state.request.load))
        names = [(state.request.job.job_id, state.seed) for state in states]
        self.batches.append((self.now, names))

    def decode(self, state: Sample) -> Sample:
        self._work(self._truth.decode_s(state.request.num_pixels))
        self._serve(state, self._truth.decode_s(state.request.num_pixels))
        self.decoded[state.request.job.job_id, state.seed] += 1
        return state

    def encode(self, pixels: Sample, sample: Sample) -> EncodedImage:
        return EncodedImage(seed=sample.seed, width=1, height=1, content_type="", data=b"")

    def preview(self, state: Sample) -> Sample:
        return state

    def encode_preview(self, pixels: Sample, sample: Sample) -> EncodedImage:
        return self.encode(pixels, sample)

    def run(self, commands: Iterable[tuple[float, GenerateJob | CancelJob]]) -> None:
        """Take commands at their times, and work until all is done."""
        waiting = sorted(commands, key=lambda command: command[0])
        while waiting or self.core.has_work:
            while waiting and waiting[0][0] <= self.now:
                self.core.handle(waiting.pop(0)[1])
            if self.core.has_work:
                self.turn()
            elif waiting:
                self.now = waiting[0][0]

    def turn(self) -> None:
        before = self.now
        self.core.step()
        self.turns.append(self.now - before)

    def alone_s(self, one: GenerateJob) -> float:
        """What the job takes with nothing beside it."""
        other = Simulation(self.table, self.model, self.limits)
        other.run([(0.0, one)])
        return other.ended[one.job_id]

    def steps_of(self, job_id: str) -> Counter[int]:
        """Seed -> steps that were run."""
        return Counter(seed for _, batch in self.batches for name, seed in batch if name == job_id)

    def _serve(self, sample: Sample, seconds: float) -> None:
        self.served_s[sample.request.job.tenant] += seconds

    def _work(self, seconds: float) -> None:
        seconds *= 2.0 ** self._random.normal(0, self.noise)
        self.busy_s += seconds
        self.now += seconds

    def _emit(self, event: JobEvent) -> None:
        if isinstance(event, Finished | Failed):
            assert event.job_id not in self.ended
            self.ended[event.job_id] = self.now
        self.last[event.job_id] = event


def native(simulation: Simulation, name: str, num_steps: int, **fields: object) -> GenerateJob:
    """A job of the model's native size."""
    width, height = simulation.model.size("1:1")
    return job(name, num_steps=num_steps, **{"width": width, "height": height} | fields)
