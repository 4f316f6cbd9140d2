"""What the engine remembers of a job: the job, its samples, and how far each one is.

No tensor is touched here: a sample's `state` belongs to the runner and is only carried about.
"""

from dataclasses import dataclass, field
from typing import Any

from photogram.core.messages import EncodedImage, GenerateJob


@dataclass(slots=True, eq=False)
class Sample:
    """One picture of a job.

    Attributes:
        seed: The seed of its noise.
        step: Denoising steps done.
        state: The runner's own record of the picture; None before it began.
        image: The finished file.
    """

    request: "Request"
    seed: int
    step: int = 0
    state: Any = None
    image: EncodedImage | None = None

    @property
    def is_denoised(self) -> bool:
        return self.step >= self.request.job.num_steps


@dataclass(slots=True, eq=False)
class Request:
    """One job inside the engine.

    Attributes:
        num_tokens: Tokens that one of its samples adds to a step.
        arrived_at: `time.monotonic` seconds at arrival.
        started_at: The same at the first work on it; None while it waits.
    """

    job: GenerateJob
    num_tokens: int
    arrived_at: float
    started_at: float | None = None
    prompt_tokens: int = 0
    prompt_truncated: bool = False
    samples: list[Sample] = field(init=False)

    def __post_init__(self) -> None:
        self.samples = [Sample(self, seed) for seed in self.job.seeds]

    @property
    def step(self) -> int:
        """Steps that all of its samples have done."""
        return min(sample.step for sample in self.samples)

    @property
    def images(self) -> tuple[EncodedImage, ...] | None:
        """All pictures in the order of the seeds, or None while one is missing."""
        images = tuple(sample.image for sample in self.samples if sample.image is not None)
        return images if len(images) == len(self.samples) else None
