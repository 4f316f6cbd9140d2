"""Decides what the device does next; touches no tensor and reads no clock.

In: requests, and a model of costs. Out: one `Plan` at a time: either a denoising step of samples
that are run together, or one picture to encode or to decode, so that none waits for much of the
others.

Tenants take turns, in rounds: in each, every tenant with work may have `ROUND_TARGETS` times the
target of a step. What a tenant has had is counted in predicted seconds of its work run alone,
whatever it ran beside; who takes more than a round's share pays for it in the next. So of two
tenants that both have work waiting, neither gets ahead by more than a round, a plan and one piece.

Within a round, requests that are short beside the others go ahead, until together they have had a
round more than the rest of their tenant. Of the rest, the one goes first that has the least work
left, where waiting counts as work done, `AGEING` times over: nothing but short ones that arrives
later than a request's work divided by `AGEING` goes before it. A request whose deadline is near
goes ahead like a short one.

A request that begins from a picture is not to wait until it is the first: where its samples would
have gone into a step, and its tenant is in the earliest round, its picture is encoded right after
that step. So there is at most one such piece between two steps.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
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
        encode: A request whose source becomes latents; then there is nothing else.
        begin: Those of `batch`, or `decode`, whose prompt is encoded and whose noise is drawn first.
        batch: Samples that take one denoising step together.
        decode: A denoised sample that becomes a picture; then there is no `batch`.
        seconds: The predicted time of all of it.
    """

    encode: Request | None = None
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
        self._encode_next: Request | None = None

    @property
    def has_work(self) -> bool:
        return any(tenant.requests for tenant in self._tenants.values())

    @property
    def requests(self) -> list[Request]:
        """All that have work left for the device."""
        return [request for tenant in self._tenants.values() for request in tenant.requests]

    def add(self, request: Request) -> None:
        """Queue all samples of a request."""
        request.work_s = self._ahead_s(request)
        request.work_s += len(request.samples) * self._picture_s(request)
        others_s = [other.work_s for other in self.requests]
        request.is_short = bool(others_s) and request.work_s <= SHORT_SHARE * fmean(others_s)
        request.due_at = request.arrived_at + request.work_s / AGEING
        self._enter(request.job.tenant).requests.append(request)

    def remove(self, request: Request) -> None:
        """Forget a request that failed or was cancelled, wherever its samples are."""
        tenant = self._tenants.get(request.job.tenant)
        if tenant is not None and request in tenant.requests:
            tenant.requests.remove(request)
        if request is self._encode_next:
            self._encode_next = None

    def late(self, now: float) -> list[Request]:
        """Requests that have missed their deadline, or are bound to and have not begun."""
        return [request for request in self.requests if self._is_late(request, now)]

    def schedule(self, now: float) -> Plan:
        """Choose the next work and charge it to the tenants; empty if there is none."""
        if (request := self._encode_next) is not None:
            return self._encode(request)
        step = StepBuilder(self.cost, self._limits, self.requests)
        tenants = [tenant for tenant in self._tenants.values() if tenant.requests]
        line = _line_up(tenants, now)
        first_round = line[0][0] if line else 0
        num_refused = 0
        while line and num_refused < _MOST_REFUSED:
            if self._encode_next is not None and line[0][0] > first_round:
                break  # those of the earliest round have work that is only not ready yet
            its_round, *_, number, sample, others = heapq.heappop(line)
            tenant, request = tenants[number], sample.request
            is_quick = tenant.lets_ahead(request)
            if request.pixels_to_encode:
                is_wanted = step.would_take(sample, is_quick=is_quick)
                if is_wanted and not step.samples:
                    return self._encode(request)
                if is_wanted and its_round == first_round:
                    self._encode_next = self._encode_next or request
                num_refused += bool(step.samples) and not is_wanted
            elif sample.is_denoised:
                if not step.samples:
                    return self._decode(sample, tenant)
            elif step.take(sample, is_quick=is_quick):
                tenant.serve(request, self._price(sample))
                sample.is_begun = True
            else:
                num_refused += bool(step.samples)
            _queue_up(line, tenant, number, others)
        return Plan(begin=tuple(step.begin), batch=tuple(step.samples), seconds=step.seconds)

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

    def _encode(self, request: Request) -> Plan:
        seconds = self.cost.encode_s(request.pixels_to_encode)
        request.is_encoded, self._encode_next = True, None
        self._tenants[request.job.tenant].serve(request, seconds)
        return Plan(encode=request, seconds=seconds)

    def _decode(self, sample: Sample, tenant: _Tenant) -> Plan:
        request = sample.request
        seconds = self._begin_s(request) + self.cost.decode_s(request.num_pixels)
        begin = () if sample.is_begun else (sample,)  # it runs no step
        sample.is_begun = sample.is_decoded = True
        if all(sample.is_decoded for sample in request.samples):
            tenant.requests.remove(request)
        tenant.serve(request, seconds)
        return Plan(begin=begin, decode=sample, seconds=seconds)

    def _price(self, sample: Sample) -> float:
        """Seconds of a sample's next step alone."""
        return self._begin_s(sample.request) + self.cost.step_s(sample.request.load)

    def _begin_s(self, request: Request) -> float:
        return 0.0 if request.is_begun else self.cost.begin_s

    def _ahead_s(self, request: Request) -> float:
        """Seconds of what comes before the first step of a request that has not begun."""
        return self.cost.begin_s + self.cost.encode_s(request.pixels_to_encode)

    def _picture_s(self, request: Request) -> float:
        return self.cost.picture_s(request.load, request.num_pixels, request.job.num_steps_run)

    def _is_late(self, request: Request, now: float) -> bool:
        if not request.is_begun:
            now += self._ahead_s(request) + self._picture_s(request)
        return now > request.deadline_at


def _line_up(tenants: Sequence[_Tenant], now: float) -> list[_Place]:
    """Every tenant's first sample."""
    line: list[_Place] = []
    for number, tenant in enumerate(tenants):
        _queue_up(line, tenant, number, tenant.in_order(now))
    return line


def _queue_up(
    line: list[_Place], tenant: _Tenant, number: int, samples: Iterator[tuple[_Rank, Sample]]
) -> None:
    """Put a tenant's next sample into the line of all tenants."""
    if (ranked := next(samples, None)) is not None:
        heapq.heappush(line, (tenant.round, ranked[0], number, ranked[1], samples))
