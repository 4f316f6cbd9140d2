"""Decides what the device does next; touches no tensor and reads no clock.

In: requests, and a model of costs. Out: one `Plan` at a time: either a denoising step of samples
that are run together, or one picture to decode, so that neither waits for much of the other.

Tenants take turns, in rounds: in each, every tenant with work may have `ROUND_TARGETS` times the
target of a step. What a tenant has had is counted in predicted seconds of its work run alone,
whatever it ran beside; who takes more than a round's share pays for it in the next. So of two
tenants that both have work waiting, neither gets ahead by more than a round, a plan and one piece.

Within a round, requests that are short beside the others go ahead, until together they have had a
round more than the rest of their tenant. Of the rest, the one goes first that has the least work
left, where waiting counts as work done, `AGEING` times over: nothing but short ones that arrives
later than a request's work divided by `AGEING` goes before it. A request whose deadline is near
goes ahead like a short one.
"""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from statistics import fmean

from photogram.engine.batching import StepBuilder, StepLimits
from photogram.engine.cost import CostModel
from photogram.engine.request import Request, Sample

ROUND_TARGETS = 6
"""Long enough for a short request to be done in its tenant's first turn."""

SHORT_SHARE = 0.22
"""A request is short if its work is at most this share of the mean of those that are there. More of
it, and whoever sends short and long ones at once waits longer for the long ones than in a queue."""

AGEING = 2.0
"""A second of waiting outweighs so many seconds of work."""

HASTE = 2.0
"""A deadline is near if it is only so many times a request's work away."""

_MOST_REFUSED = 32
"""After so many that do not fit, a step is taken as full."""

_Rank = tuple[bool, float]
"""Whether a request lets others go ahead, and when it is due; the least goes first."""

_Place = tuple[int, _Rank, int, Sample, Iterator[tuple[_Rank, Sample]]]
"""In the line of tenants: its round, its next sample's rank, its number, that sample, the others."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the device does next.

    Attributes:
        begin: Those of `batch` whose prompt is encoded and whose noise is drawn first.
        batch: Samples that take one denoising step together.
        decode: A denoised sample that becomes a picture; then there is no `batch`.
        seconds: The predicted time of all of it.
    """

    begin: tuple[Sample, ...] = ()
    batch: tuple[Sample, ...] = ()
    decode: Sample | None = None
    seconds: float = 0.0


@dataclass(slots=True, eq=False)
class _Tenant:
    """One tenant's requests that have work left, and the seconds of work that it has had.

    Attributes:
        round_s: What it may have in a round.
        lead_s: What its short requests have had more than the rest, from 0 to a round.
    """

    round_s: float
    served_s: float
    lead_s: float = 0.0
    requests: list[Request] = field(default_factory=list)

    @property
    def round(self) -> int:
        return int(self.served_s // self.round_s)

    def serve(self, request: Request, seconds: float) -> None:
        self.served_s += seconds
        request.due_at -= seconds / AGEING
        lead_s = self.lead_s + (seconds if request.is_short else -seconds)
        self.lead_s = min(max(lead_s, 0.0), self.round_s)

    def lets_ahead(self, request: Request) -> bool:
        """Whether a request goes ahead because it is short."""
        return request.is_short and self.lead_s < self.round_s

    def in_order(self, now: float) -> Iterator[tuple[_Rank, Sample]]:
        """The samples that have work left, the most urgent first."""
        ranked = ((self._rank(request, now), n) for n, request in enumerate(self.requests))
        for rank, n in sorted(ranked):
            for sample in sorted(self.requests[n].samples, key=attrgetter("step"), reverse=True):
                if not sample.is_decoded:
                    yield rank, sample

    def _rank(self, request: Request, now: float) -> _Rank:
        is_near = now >= request.deadline_at - HASTE * request.work_s
        return not (is_near or self.lets_ahead(request)), request.due_at


class Scheduler:
    """The queues of one device.

    Args:
        cost: What work takes.
        limits: How large a step may be.
    """

    def __init__(self, cost: CostModel, limits: StepLimits) -> None:
        self.cost = cost
        self._limits = limits
        self._round_s = ROUND_TARGETS * limits.target_s
        self._tenants: dict[str, _Tenant] = {}

    @property
    def has_work(self) -> bool:
        return any(tenant.requests for tenant in self._tenants.values())

    @property
    def requests(self) -> list[Request]:
        """All that have work left for the device."""
        return [request for tenant in self._tenants.values() for request in tenant.requests]

    def add(self, request: Request) -> None:
        """Queue all samples of a request."""
        request.work_s = self.cost.begin_s + len(request.samples) * self._picture_s(request)
        others_s = [other.work_s for other in self.requests]
        request.is_short = bool(others_s) and request.work_s <= SHORT_SHARE * fmean(others_s)
        request.due_at = request.arrived_at + request.work_s / AGEING
        self._enter(request.job.tenant).requests.append(request)

    def remove(self, request: Request) -> None:
        """Forget a request that failed or was cancelled, wherever its samples are."""
        tenant = self._tenants.get(request.job.tenant)
        if tenant is not None and request in tenant.requests:
            tenant.requests.remove(request)

    def late(self, now: float) -> list[Request]:
        """Requests that have missed their deadline, or are bound to and have not begun."""
        return [request for request in self.requests if self._is_late(request, now)]

    def schedule(self, now: float) -> Plan:
        """Choose the next work and charge it to the tenants; empty if there is none."""
        step = StepBuilder(self.cost, self._limits, self.requests)
        tenants = [tenant for tenant in self._tenants.values() if tenant.requests]
        line: list[_Place] = []
        for number, tenant in enumerate(tenants):
            _queue_up(line, tenant, number, tenant.in_order(now))
        begin: list[Sample] = []
        num_refused = 0
        while line and num_refused < _MOST_REFUSED:
            *_, number, sample, others = heapq.heappop(line)
            tenant = tenants[number]
            if sample.is_denoised:
                if not step.samples:
                    return self._decode(sample, tenant)
            elif step.take(sample, is_quick=tenant.lets_ahead(sample.request)):
                tenant.serve(sample.request, self._price(sample))
                if not sample.is_begun:
                    begin.append(sample)
                    sample.is_begun = True
            elif step.samples:
                num_refused += 1
            _queue_up(line, tenant, number, others)
        return Plan(begin=tuple(begin), batch=tuple(step.samples), seconds=step.seconds)

    def charge_again(self, batch: tuple[Sample, ...], num_steps: int) -> None:
        """Count so many more steps of a batch as had."""
        for sample in batch:
            seconds = num_steps * self._price(sample)
            self._tenants[sample.request.job.tenant].serve(sample.request, seconds)

    def _enter(self, name: str) -> _Tenant:
        """The tenant of that name.

        One that has no work enters the earliest round that is under way, so that nobody saves
        turns up; one that has had more than that keeps its count, so that nobody gets rid of it by
        going away for a moment.
        """
        rounds = [tenant.round for tenant in self._tenants.values() if tenant.requests]
        entry_s = self._round_s * min(rounds) if rounds else math.inf
        self._tenants = {
            name: tenant
            for name, tenant in self._tenants.items()
            if tenant.requests or tenant.served_s > entry_s
        }
        newcomer = _Tenant(self._round_s, entry_s if rounds else 0.0)
        return self._tenants.setdefault(name, newcomer)

    def _decode(self, sample: Sample, tenant: _Tenant) -> Plan:
        request = sample.request
        sample.is_decoded = True
        if all(sample.is_decoded for sample in request.samples):
            tenant.requests.remove(request)
        seconds = self.cost.decode_s(request.num_pixels)
        tenant.serve(request, seconds)
        return Plan(decode=sample, seconds=seconds)

    def _price(self, sample: Sample) -> float:
        """Seconds of a sample's next step alone."""
        begin_s = 0.0 if sample.request.is_begun else self.cost.begin_s
        return begin_s + self.cost.step_s(sample.request.load)

    def _picture_s(self, request: Request) -> float:
        return self.cost.picture_s(request.load, request.num_pixels, request.job.num_steps)

    def _is_late(self, request: Request, now: float) -> bool:
        if not request.is_begun:
            now += self.cost.begin_s + self._picture_s(request)
        return now > request.deadline_at


def _queue_up(
    line: list[_Place], tenant: _Tenant, number: int, samples: Iterator[tuple[_Rank, Sample]]
) -> None:
    """Put a tenant's next sample into the line of all tenants."""
    if (ranked := next(samples, None)) is not None:
        heapq.heappush(line, (tenant.round, ranked[0], number, ranked[1], samples))
