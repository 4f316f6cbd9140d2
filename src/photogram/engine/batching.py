"""Decides which samples run one denoising step together; touches no tensor and reads no clock.

In: samples, one after the other, the most urgent first. Out: for each, whether it is in. A step
stays within a predicted time and a number of tokens; a sample joins only where that saves time; and
one that is to be quick does not wait for those beside it. Who is urgent is not known here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from photogram.engine.cost import CostModel, Load
from photogram.engine.request import Request, Sample

LEAST_SAVING = 0.05
"""A sample joins a step if that saves so much of its own step alone. Where nothing is saved, the
first is done sooner alone, and the last no later."""

QUICK_STRETCH = 1.5
"""How many times its step alone the step of a quick sample may take because of others."""

RUNNING_BATCHES = 4
"""Samples that have begun fill so many of the largest steps. More of them would hold memory (one of
FLUX.1 [dev] 53 MB for 25 steps, most of it modulation vectors) and finish later."""


@dataclass(frozen=True, slots=True)
class StepLimits:
    """How large a step may be; a single sample that is larger runs alone.

    Attributes:
        target_s: Predicted seconds.
        num_tokens: Text and image tokens, which bound its memory.
    """

    target_s: float
    num_tokens: int


class _Size(NamedTuple):
    """How large a step is.

    Attributes:
        begin_s: Seconds of the prompts that are encoded for it.
        step_s: Seconds of the step itself.
    """

    load: Load = Load()
    begin_s: float = 0.0
    step_s: float = 0.0

    @property
    def seconds(self) -> float:
        return self.begin_s + self.step_s


class StepBuilder:
    """One step in the making.

    Args:
        cost: What work takes.
        limits: How large the step may be.
        requests: All that are present.

    Attributes:
        samples: Those in it.
        begin: Those of them that had not begun.
    """

    def __init__(self, cost: CostModel, limits: StepLimits, requests: Sequence[Request]) -> None:
        self.samples: list[Sample] = []
        self.begin: list[Sample] = []
        self._cost = cost
        self._limits = limits
        self._size = _Size()
        self._limit_beside_quick_s = limits.target_s
        self._memory = _Memory(RUNNING_BATCHES * limits.num_tokens, requests)

    @property
    def seconds(self) -> float:
        """The predicted time of the step, and of the prompts that are encoded for it."""
        return self._size.seconds

    def take(self, sample: Sample, *, is_quick: bool) -> bool:
        """Put a sample into the step if it may be in it; returns whether it may.

        Args:
            sample: One that is not denoised yet.
            is_quick: It is not to wait much for others.
        """
        request, size = sample.request, self._size_with(sample)
        if not self._is_right(size, sample, is_quick=is_quick):
            return False
        self._size = size
        self.samples.append(sample)
        if not sample.is_begun:
            self.begin.append(sample)
            self._memory.hold(request)
        if is_quick:
            quick_s = size.begin_s + QUICK_STRETCH * self._cost.step_s(request.load)
            self._limit_beside_quick_s = min(self._limit_beside_quick_s, quick_s)
        return True

    def would_take(self, sample: Sample, *, is_quick: bool) -> bool:
        """Whether `take` would put a sample into the step as it is now."""
        return self._is_right(self._size_with(sample), sample, is_quick=is_quick)

    def _is_right(self, size: _Size, sample: Sample, *, is_quick: bool) -> bool:
        """Whether a sample may begin, and the step may then be of that size."""
        request = sample.request
        if not (sample.is_begun or self._memory.has_room(request)):
            return False
        limit_s = self._limits.target_s if is_quick else self._limit_beside_quick_s
        return not self.samples or self._is_better(size, request, limit_s)

    def _size_with(self, sample: Sample) -> _Size:
        load = self._size.load.beside(sample.request.load)
        return _Size(
            load,
            self._size.begin_s + (0.0 if sample.request.is_begun else self._cost.begin_s),
            self._cost.step_s(load),
        )

    def _is_better(self, size: _Size, newcomer: Request, limit_s: float) -> bool:
        """Whether a step of that size is within the limits, and saves time."""
        if size.seconds > limit_s or size.load.num_tokens > self._limits.num_tokens:
            return False
        lone_s = self._cost.step_s(newcomer.load)
        return size.step_s - self._size.step_s <= (1 - LEAST_SAVING) * lone_s


class _Memory:
    """Which samples may begin: so many that their state fits, shared among the tenants.

    Beyond that, a tenant may have one at least, and short ones may begin in any case.
    """

    def __init__(self, num_tokens: int, requests: Sequence[Request]) -> None:
        self._num_tokens = num_tokens
        self._num_tenants = len({request.job.tenant for request in requests})
        self._held: Counter[str] = Counter()
        for request in requests:
            for sample in request.samples:
                if sample.is_begun and not sample.is_decoded:
                    self.hold(request)

    def hold(self, request: Request) -> None:
        self._held[request.job.tenant] += request.num_tokens

    def has_room(self, request: Request) -> bool:
        held = self._held[request.job.tenant]
        return (
            request.is_short
            or held == 0
            or held + request.num_tokens <= self._num_tokens / self._num_tenants
            or self._held.total() + request.num_tokens <= self._num_tokens
        )
