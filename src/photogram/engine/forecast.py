"""Foretells when jobs will start and end.

In: requests as far as they are, a model of costs, the limits of a step. Out: for every request, how
many start before it, and in how many seconds it starts and ends if nothing else arrives. A few are
foretold by letting the scheduler run them on a pretended device, so that its own order holds; of
many, that would take longer than an event loop may stand still, and they are estimated. It knows no
process and waits for nothing.
"""

from bisect import bisect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean

from photogram.core.messages import Forecast
from photogram.engine.batching import StepBuilder, StepLimits
from photogram.engine.cost import CostModel, Load
from photogram.engine.request import Request
from photogram.engine.scheduler import AGEING, ROUND_TARGETS, SHORT_SHARE, Plan, Scheduler

MOST_PLAYED = 24
"""So many samples are played through at most, which takes 10 ms; it grows with their square."""


def forecast(
    requests: Sequence[Request], cost: CostModel, limits: StepLimits, now: float
) -> dict[str, Forecast]:
    """What becomes of all requests; they are used up by it.

    Args:
        requests: All of one device; samples that have begun are marked so.
        cost: What work takes.
        limits: How large a step may be.
        now: Seconds of the clock by which the requests arrived.

    Returns:
        Job id -> its forecast.
    """
    waiting = {request.job.job_id for request in requests if not request.is_begun}
    if sum(len(request.samples) for request in requests) <= MOST_PLAYED:
        spans = _play(requests, cost, limits, now)
    else:
        spans = _estimate(requests, cost, limits)
    in_order = sorted(waiting, key=lambda job_id: spans[job_id])
    positions = {job_id: number for number, job_id in enumerate(in_order, start=1)}
    return {
        job_id: Forecast(
            queue_position=positions.get(job_id, 0), start_s=start_s, finish_s=finish_s
        )
        for job_id, (start_s, finish_s) in spans.items()
    }


def _play(
    requests: Sequence[Request], cost: CostModel, limits: StepLimits, now: float
) -> dict[str, tuple[float, float]]:
    """Job id -> seconds to its start and to its end, as the scheduler would have it."""
    scheduler = Scheduler(cost, limits)
    started_s: dict[str, float] = {}
    ended_s: dict[str, float] = {}
    for request in requests:
        scheduler.add(request)
        if request.is_begun:
            started_s[request.job.job_id] = 0.0
    passed_s = 0.0
    while scheduler.has_work:
        plan = scheduler.schedule(now + passed_s)
        begun = [sample.request for sample in plan.begin]
        for request in [plan.encode, *begun] if plan.encode is not None else begun:
            started_s.setdefault(request.job.job_id, passed_s)
        passed_s += plan.seconds
        if plan.batch:
            passed_s += _step_on(scheduler, plan)
        if plan.decode is not None:
            ended_s[plan.decode.request.job.job_id] = passed_s
    return {job_id: (started_s[job_id], ended_s[job_id]) for job_id in started_s}


def _step_on(scheduler: Scheduler, plan: Plan) -> float:
    """Run the batch of a plan until something would change; returns the seconds beyond the plan.

    Where others wait for their turn, something would change at once; to foretell it, some steps at
    a time are exact enough.
    """
    num_steps = min(sample.steps_left for sample in plan.batch)
    num_left = sum(
        not sample.is_decoded for request in scheduler.requests for sample in request.samples
    )
    if num_left > len(plan.batch):
        num_steps = max(num_steps // 2, 1)
    for sample in plan.batch:
        sample.step += num_steps
    scheduler.charge_again(plan.batch, num_steps - 1)
    load = Load.together(sample.request.load for sample in plan.batch)
    return (num_steps - 1) * scheduler.cost.step_s(load)


@dataclass(slots=True)
class _Course:
    """A request as an estimate sees it.

    Attributes:
        work_s: Seconds of full steps that its work makes up.
        run_s: Seconds from its start to its end if it is in every step.
    """

    request: Request
    work_s: float
    run_s: float

    def rank(self, short_s: float) -> tuple[bool, float]:
        """As the scheduler ranks the requests of a tenant."""
        return self.work_s > short_s, self.request.arrived_at + self.work_s / AGEING


def _estimate(
    requests: Sequence[Request], cost: CostModel, limits: StepLimits
) -> dict[str, tuple[float, float]]:
    """Job id -> seconds to its start and to its end, as if the device were shared like a fluid.

    Every step is taken as a full one, every tenant as having the same share while it has work, and
    within a tenant one request ends after the other, in the scheduler's order. Short requests go
    before all others, as long as their tenant has not had a round.
    """
    courses = _courses(requests, cost, limits)
    short_s = SHORT_SHARE * fmean(course.work_s for course in courses)
    all_short_s = sum(course.work_s for course in courses if course.work_s <= short_s)
    tenants: defaultdict[str, list[_Course]] = defaultdict(list)
    for course in courses:
        tenants[course.request.job.tenant].append(course)
    totals = sorted(sum(course.work_s for course in mine) for mine in tenants.values())
    sums = [0.0, *accumulate(totals)]
    spans: dict[str, tuple[float, float]] = {}
    for mine in tenants.values():
        had_s = 0.0
        for course in sorted(mine, key=lambda course: course.rank(short_s)):
            had_s += course.work_s
            # When its tenant has had so much, every other has too, or all of its work.
            num_done = bisect(totals, had_s)
            passed_s = sums[num_done] + had_s * (len(totals) - num_done)
            if course.work_s <= short_s and had_s <= ROUND_TARGETS * limits.target_s:
                passed_s = min(passed_s, all_short_s)
            end_s = max(passed_s, course.run_s)
            start_s = 0.0 if course.request.is_begun else end_s - course.run_s
            spans[course.request.job.job_id] = (start_s, end_s)
    return spans


def _courses(requests: Sequence[Request], cost: CostModel, limits: StepLimits) -> list[_Course]:
    step = StepBuilder(cost, limits, requests)
    for request in requests:
        for sample in request.samples:
            step.take(sample, is_quick=False)
    loads = [sample.request.load for sample in step.samples]
    full_step_s = cost.step_s(Load.together(loads))
    share = full_step_s / sum(map(cost.step_s, loads))
    courses = []
    for request in requests:
        num_samples, num_steps = len(request.samples), request.job.num_steps_run - request.step
        lone_step_s = cost.step_s(request.load)
        rest_s = num_samples * cost.decode_s(request.num_pixels)
        rest_s += cost.encode_s(request.pixels_to_encode)
        rest_s += 0.0 if request.is_begun else cost.begin_s
        work_s = rest_s + num_samples * num_steps * lone_step_s * share
        courses.append(_Course(request, work_s, rest_s + num_steps * max(full_step_s, lone_step_s)))
    return courses
