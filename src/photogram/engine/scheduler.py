"""Decides what the next step works on; touches no tensor and reads no clock.

Running samples take turns: those that ran longest ago go first, as many as fit the token budget.
Only so many run at once; the tenant with the fewest running is let in first, and one with none at
once, so that nobody waits for another's whole run.
One picture is decoded per step, so that a burst of finished ones does not stall those that run.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from photogram.engine.request import Request, Sample

RUNNING_BATCHES = 2
"""Samples that run at once fill so many batches. More of them would hold memory (one of FLUX.1 [dev]
53 MB for 25 steps, most of it modulation vectors) and all finish later; with one batch, those of the
same tenant that wait would wait for a whole run."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The work of one engine step, in the order in which it is run.

    Attributes:
        begin: Samples whose prompt is encoded and whose noise is drawn now.
        batch: Samples that take one denoising step together, those of `begin` included.
        decode: A denoised sample that becomes a picture now.
    """

    begin: tuple[Sample, ...]
    batch: tuple[Sample, ...]
    decode: Sample | None


class Scheduler:
    """The queues of one engine.

    Args:
        batch_tokens: Tokens of one denoising step at most; a single larger sample runs alone.
    """

    def __init__(self, batch_tokens: int) -> None:
        self.batch_tokens = batch_tokens
        self._waiting: deque[Sample] = deque()
        self._denoising: deque[Sample] = deque()
        self._denoised: deque[Sample] = deque()

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._denoising or self._denoised)

    def add(self, request: Request) -> None:
        """Queue all samples of a new request."""
        self._waiting.extend(request.samples)

    def remove(self, request: Request) -> None:
        """Forget a request that failed or was cancelled, wherever its samples are."""
        self._waiting = deque(s for s in self._waiting if s.request is not request)
        self._denoising = deque(s for s in self._denoising if s.request is not request)
        self._denoised = deque(s for s in self._denoised if s.request is not request)

    def schedule(self) -> Plan:
        """Choose the next step's work; the chosen samples go to the back of the queue."""
        self._admit()
        batch = self._take_batch()
        self._denoising.extend(batch)
        return Plan(
            begin=tuple(sample for sample in batch if sample.state is None),
            batch=tuple(batch),
            decode=self._denoised.popleft() if self._denoised else None,
        )

    def collect(self, batch: Iterable[Sample]) -> None:
        """Move the samples of a step that are now denoised on to decoding."""
        denoised = [sample for sample in batch if sample.is_denoised]
        if denoised:
            done = set(denoised)
            self._denoising = deque(s for s in self._denoising if s not in done)
            self._denoised.extend(denoised)

    def _admit(self) -> None:
        """Let waiting samples in, ahead of those that have had a turn."""
        running = Counter(sample.request.job.tenant for sample in self._denoising)
        free_tokens = RUNNING_BATCHES * self.batch_tokens
        free_tokens -= sum(sample.request.num_tokens for sample in self._denoising)
        admitted: list[Sample] = []
        while self._waiting:
            # min keeps the order of arrival among tenants that have equally many
            sample = min(self._waiting, key=lambda sample: running[sample.request.job.tenant])
            tenant = sample.request.job.tenant
            if running[tenant] and sample.request.num_tokens > free_tokens:
                break
            self._waiting.remove(sample)
            running[tenant] += 1
            free_tokens -= sample.request.num_tokens
            admitted.append(sample)
        self._denoising.extendleft(reversed(admitted))

    def _take_batch(self) -> list[Sample]:
        batch: list[Sample] = []
        free_tokens = self.batch_tokens
        while self._denoising:
            num_tokens = self._denoising[0].request.num_tokens
            if batch and num_tokens > free_tokens:
                break
            free_tokens -= num_tokens
            batch.append(self._denoising.popleft())
        return batch
