"""What the engine remembers of a job: the job, its samples, and how far each one is.

No tensor is touched here: a sample's `state` belongs to the runner and is only carried about.
"""

from dataclasses import dataclass, field
from typing import Any

from photogram.core.messages import EncodedImage, GenerateJob
from photogram.engine.cost import Load


@dataclass(slots=True, eq=False)
class Sample:
    """One picture of a job.

    Attributes:
        seed: The seed of its noise.
        step: Denoising steps done.
        is_begun: Its prompt was encoded and its noise drawn.
        is_decoded: The scheduler has given it its last work on the device.
        state: The runner's own record of the picture, between begin and decoding.
        image: The finished file.
    """

    request: "Request"
    seed: int
    step: int = 0
    is_begun: bool = False
    is_decoded: bool = False
    state: Any = None
    image: EncodedImage | None = None

    @property
    def steps_left(self) -> int:
        return self.request.job.num_steps_run - self.step

    @property
    def is_denoised(self) -> bool:
        return self.steps_left <= 0


@dataclass(slots=True, eq=False)
class Request:
    """One job inside the engine.

    Attributes:
        num_tokens: Tokens that one of its samples adds to a step.
        arrived_at: Seconds of the engine's clock at arrival.
        started_at: The same at the first work on it; None while it waits.
        work_s: The scheduler's: predicted seconds of all its work, run alone.
        is_short: The scheduler's: its work is little beside what was there when it arrived.
        due_at: The scheduler's: the earlier, the sooner it has its turn.
        is_encoded: The scheduler has given it the work of encoding its source.
        source: The runner's own record of the encoded source, which its samples share.
        is_conditioned: Its prompt was encoded, for one of its samples and so for all.
        adapters: The runner's own record of what all samples are painted with; None before the first.
    """

    job: GenerateJob
    num_tokens: int
    arrived_at: float
    started_at: float | None = None
    work_s: float = 0.0
    is_short: bool = False
    due_at: float = 0.0
    is_encoded: bool = False
    source: Any = None
    is_conditioned: bool = False
    prompt_tokens: int = 0
    prompt_truncated: bool = False
    adapters: Any = None
    samples: list[Sample] = field(init=False)

    def __post_init__(self) -> None:
        self.samples = [Sample(self, seed) for seed in self.job.seeds]

    @property
    def is_begun(self) -> bool:
        """One of its samples has begun, or will with the plan that is made."""
        return any(sample.is_begun for sample in self.samples)

    @property
    def load(self) -> Load:
        """A step of one of its samples alone."""
        return Load.of_sample(self.num_tokens, len(self.job.adapters))

    @property
    def pixels_to_encode(self) -> int:
        """Of the picture that has yet to be encoded before a sample can begin; 0 for none."""
        return 0 if self.job.source is None or self.is_encoded else self.num_pixels

    @property
    def num_pixels(self) -> int:
        """Of one of its pictures."""
        return self.job.width * self.job.height

    @property
    def deadline_at(self) -> float:
        """When its pictures are of no use any more."""
        return self.arrived_at + self.job.timeout_s

    @property
    def step(self) -> int:
        """Steps that all of its samples have done."""
        return min(sample.step for sample in self.samples)

    @property
    def images(self) -> tuple[EncodedImage, ...] | None:
        """All pictures in the order of the seeds, or None while one is missing."""
        images = tuple(sample.image for sample in self.samples if sample.image is not None)
        return images if len(images) == len(self.samples) else None
