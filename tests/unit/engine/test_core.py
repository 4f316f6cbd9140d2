"""The engine's promises, with a runner that only remembers what it was asked to do."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photogram.core.messages import (
    CANCELLED,
    CancelJob,
    Failed,
    Finished,
    JobEnd,
    Preview,
    Progress,
    Source,
    Started,
)
from photogram.engine.batching import RUNNING_BATCHES
from photogram.engine.request import Sample
from tests.unit.engine.recording import TOKENS_PER_SAMPLE, RecordedCore, RecordingRunner, job


def test_job_runs_exactly_its_steps_and_reports_each() -> None:
    recorded = RecordedCore()
    recorded.core.handle(job("a", num_steps=3))
    recorded.run()
    assert recorded.runner.batches == [["a"], ["a"], ["a"]]
    progress = [event.step for event in recorded.events if isinstance(event, Progress)]
    assert progress == [1, 2, 3]
    assert isinstance(recorded.events[-1], Finished)


def test_steps_and_the_pictures_in_them_are_counted() -> None:
    recorded = RecordedCore()
    recorded.core.handle(job("a", num_steps=3, seeds=(1, 2)))
    recorded.run()
    vitals = recorded.core.vitals
    assert vitals.num_steps == len(recorded.runner.batches)
    assert vitals.num_step_samples == sum(map(len, recorded.runner.batches)) == 6
    assert vitals.last_step_samples == len(recorded.runner.batches[-1])


@dataclass
class Watched(RecordingRunner):
    """Remembers what had been told when the first work of a job began."""

    told: list[object] = field(default_factory=list)
    before: dict[str, list[object]] = field(default_factory=dict)

    def begin(self, sample: Sample) -> None:
        self.before.setdefault(sample.request.job.job_id, list(self.told))
        super().begin(sample)


def test_a_start_is_told_once_and_before_any_work() -> None:
    runner = Watched()
    recorded = RecordedCore(runner=runner)
    runner.told = recorded.events  # type: ignore[assignment] # the very list that events go to
    recorded.core.handle(job("a", num_steps=2, seeds=(1, 2)))
    recorded.core.handle(job("bad", prompt="fails at begin"))
    recorded.run()
    for name in ("a", "bad"):
        assert runner.before[name][-1] == Started(name)
        assert recorded.events.count(Started(name)) == 1
    assert isinstance(recorded.last_events()["bad"], Failed)


def test_a_job_that_ends_in_the_queue_was_never_started() -> None:
    recorded = RecordedCore(batch_tokens=10)
    recorded.core.handle(job("a", num_steps=3))
    recorded.core.handle(job("b", num_steps=3))
    recorded.core.step()
    recorded.core.handle(CancelJob("b"))
    recorded.run()
    assert Started("b") not in recorded.events


@pytest.mark.parametrize(
    ("num_steps", "num_previews", "steps"),
    [(25, 3, [6, 12, 18]), (4, 10, [1, 2, 3]), (1, 10, []), (5, 1, [2]), (9, 0, [])],
)
def test_previews_come_evenly_and_never_after_the_last_step(
    num_steps: int, num_previews: int, steps: list[int]
) -> None:
    recorded = RecordedCore()
    recorded.core.handle(
        job("a", num_steps=num_steps, num_previews=num_previews, seeds=(7, 8), prompt="p")
    )
    recorded.run()
    previews = [event for event in recorded.events if isinstance(event, Preview)]
    assert sorted((each.index, each.step) for each in previews) == [
        (index, step) for index in (0, 1) for step in steps
    ]
    assert {each.data for each in previews} <= {b"preview of p"}
    assert isinstance(recorded.events[-1], Finished)


@pytest.mark.parametrize("stage", ["preview", "its encoding"])
def test_a_preview_that_fails_is_left_out(stage: str) -> None:
    recorded = RecordedCore()
    recorded.core.handle(job("a", num_steps=4, num_previews=2, prompt=f"fails at {stage}"))
    recorded.run()
    assert not [event for event in recorded.events if isinstance(event, Preview)]
    assert isinstance(recorded.last_events()["a"], Finished)


class LateExecutor(Executor):
    """Does its work when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, partial(fn, *args, **kwargs)))
        return future

    def work(self) -> None:
        for future, fn in self.waiting:
            future.set_result(fn())
        self.waiting.clear()


def test_encoders_that_are_behind_get_no_more_previews_and_stop_nobody() -> None:
    encoders = LateExecutor()
    recorded = RecordedCore(encoders=encoders)
    recorded.core.handle(job("a", num_steps=50, num_previews=49, prompt="p"))
    for _ in range(49):
        recorded.core.step()
    assert len(recorded.runner.batches) == 49
    assert 0 < len(encoders.waiting) < 49
    encoders.work()
    while recorded.core.has_work:
        recorded.core.step()
        encoders.work()
    steps = [event.step for event in recorded.events if isinstance(event, Preview)]
    assert steps == sorted(steps)
    assert isinstance(recorded.events[-1], Finished)


def test_requests_join_and_leave_between_steps() -> None:
    recorded = RecordedCore()
    recorded.core.handle(job("long", num_steps=5))
    recorded.core.step()
    recorded.core.handle(job("short", num_steps=2))
    recorded.run()
    assert [sorted(batch) for batch in recorded.runner.batches] == [
        ["long"],
        ["long", "short"],
        ["long", "short"],
        ["long"],
        ["long"],
    ]


def test_samples_of_one_job_come_back_in_the_order_of_their_seeds() -> None:
    recorded = RecordedCore(batch_tokens=10)  # one sample at a time
    recorded.core.handle(job("a", seeds=(7, 8, 9)))
    recorded.run()
    finished = recorded.last_events()["a"]
    assert isinstance(finished, Finished)
    assert [image.seed for image in finished.images] == [7, 8, 9]


def test_token_budget_bounds_a_batch() -> None:
    recorded = RecordedCore(batch_tokens=20)
    for name in ("a", "b", "c"):
        recorded.core.handle(job(name, num_steps=2))
    recorded.run()
    assert recorded.runner.batches == [["a", "b"], ["a", "b"], ["c"], ["c"]]


def test_a_sample_larger_than_the_budget_still_runs() -> None:
    recorded = RecordedCore(batch_tokens=1)
    recorded.core.handle(job("a"))
    recorded.run()
    assert isinstance(recorded.last_events()["a"], Finished)


@pytest.mark.parametrize("stage", ["its source", "begin", "step", "decode", "encode"])
def test_one_failing_request_fails_alone(stage: str) -> None:
    recorded = RecordedCore()
    recorded.core.handle(job("good", num_steps=3))
    source = Source(image=b"", first_step=1)
    recorded.core.handle(
        job("bad", num_steps=3, prompt=f"fails at {stage}", seeds=(1, 2), source=source)
    )
    recorded.core.handle(job("fine", num_steps=3))
    recorded.run()
    last = recorded.last_events()
    assert isinstance(last["good"], Finished)
    assert isinstance(last["fine"], Finished)
    bad = last["bad"]
    assert isinstance(bad, Failed)
    assert bad.code == "inference_failed"
    assert stage not in bad.message  # the inside stays inside


def test_no_step_is_run_twice_when_a_batch_is_retried_alone() -> None:
    recorded = RecordedCore()
    recorded.core.handle(job("good", num_steps=4))
    recorded.core.handle(job("bad", num_steps=4, prompt="fails at step"))
    recorded.run()
    assert recorded.runner.batches == [["good"]] * 4


def test_cancelled_job_is_gone_at_the_next_step() -> None:
    recorded = RecordedCore()
    recorded.core.handle(job("a", num_steps=3))
    recorded.core.handle(job("b", num_steps=3))
    recorded.core.step()
    recorded.core.handle(CancelJob("a"))
    recorded.run()
    assert recorded.runner.batches == [["a", "b"], ["b"], ["b"]]
    cancelled = recorded.last_events()["a"]
    assert isinstance(cancelled, Failed)
    assert cancelled.code == CANCELLED


def test_cancelling_an_unknown_or_finished_job_does_nothing() -> None:
    recorded = RecordedCore()
    recorded.core.handle(CancelJob("never"))
    recorded.core.handle(job("a"))
    recorded.run()
    recorded.core.handle(CancelJob("a"))
    assert isinstance(recorded.last_events()["a"], Finished)


@settings(deadline=None)
@given(
    jobs=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(0, 8)), max_size=12),
    batch_tokens=st.integers(1, 60),
    cancel_at=st.dictionaries(st.integers(0, 30), st.integers(0, 11), max_size=4),
)
def test_every_job_ends_once_and_runs_its_steps(
    jobs: list[tuple[int, int, int]], batch_tokens: int, cancel_at: dict[int, int]
) -> None:
    recorded = RecordedCore(batch_tokens=batch_tokens)
    arrivals = sorted((at, str(i), steps, n) for i, (steps, n, at) in enumerate(jobs))
    for step in range(2000):
        while arrivals and arrivals[0][0] <= step:
            _, name, num_steps, num_samples = arrivals.pop(0)
            recorded.core.handle(job(name, num_steps=num_steps, seeds=tuple(range(num_samples))))
        if step in cancel_at:
            recorded.core.handle(CancelJob(str(cancel_at[step])))
        if not arrivals and not recorded.core.has_work:
            break
        recorded.core.step()
    ends = [event for event in recorded.events if isinstance(event, JobEnd)]
    assert sorted(event.job_id for event in ends) == sorted(str(i) for i in range(len(jobs)))
    steps_run = [name for batch in recorded.runner.batches for name in batch]
    for event in ends:
        num_steps, num_samples, _ = jobs[int(event.job_id)]
        if isinstance(event, Finished):
            assert steps_run.count(event.job_id) == num_steps * num_samples
        else:
            assert steps_run.count(event.job_id) <= num_steps * num_samples


@dataclass
class OneSampleFails(RecordingRunner):
    """The second sample fails in its step, and then nothing of its request may run any more."""

    def step(self, states: Sequence[str]) -> None:
        if len(self.begun) == 2:
            raise RuntimeError("step")
        super().step(states)

    def decode(self, state: str) -> str:
        raise AssertionError("the request has failed already")


def test_nothing_of_a_failed_request_is_decoded() -> None:
    recorded = RecordedCore(batch_tokens=10, runner=OneSampleFails())
    recorded.core.handle(job("a", num_steps=1, seeds=(1, 2)))
    recorded.run()
    assert [type(event) for event in recorded.events[-1:]] == [Failed]


@dataclass
class OneAtATime(RecordingRunner):
    """A device whose memory holds a single sample."""

    def step(self, states: Sequence[str]) -> None:
        if len(states) > 1:
            raise RuntimeError("out of memory")
        super().step(states)


def test_samples_that_do_not_fit_together_run_alone() -> None:
    recorded = RecordedCore(runner=OneAtATime())
    recorded.core.handle(job("a", num_steps=2, seeds=(1, 2, 3)))
    recorded.run()
    assert isinstance(recorded.last_events()["a"], Finished)
    assert recorded.runner.batches == [["a"]] * 6


def test_waiting_samples_hold_no_state() -> None:
    recorded = RecordedCore(batch_tokens=2 * TOKENS_PER_SAMPLE)
    for name in "abcdef":
        recorded.core.handle(job(name, num_steps=50, seeds=(1, 2, 3, 4)))
    for _ in range(10):
        recorded.core.step()
    assert len(recorded.runner.begun) <= 2 * RUNNING_BATCHES


def test_a_picture_to_begin_from_is_encoded_once_and_only_the_steps_left_are_run() -> None:
    recorded = RecordedCore()
    source = Source(image=b"", first_step=3)
    recorded.core.handle(job("a", num_steps=5, seeds=(1, 2), source=source))
    recorded.run()
    assert recorded.runner.encoded == ["a"]
    assert recorded.runner.batches == [["a", "a"]] * 2
    progress = [event for event in recorded.events if isinstance(event, Progress)]
    assert progress == [Progress("a", 1, 2), Progress("a", 2, 2)]
    last = recorded.events[-1]
    assert isinstance(last, Finished)
    assert last.num_steps == 2
    assert recorded.events.count(Started("a")) == 1


def test_a_job_that_leaves_out_all_steps_is_decoded_without_one() -> None:
    recorded = RecordedCore()
    recorded.core.handle(
        job("a", num_steps=5, seeds=(1, 2), source=Source(image=b"", first_step=5), num_previews=3)
    )
    recorded.run()
    assert recorded.runner.encoded == ["a"]
    assert recorded.runner.begun == [("a", 1), ("a", 2)]
    assert recorded.runner.batches == []
    assert [type(event) for event in recorded.events] == [Started, Finished]


def test_jobs_from_noise_and_from_pictures_share_their_steps() -> None:
    recorded = RecordedCore()
    recorded.core.handle(job("noise", num_steps=5))
    recorded.core.step()
    recorded.core.handle(job("image", num_steps=4, source=Source(image=b"", first_step=1)))
    recorded.run()
    assert [sorted(batch) for batch in recorded.runner.batches] == [
        ["noise"],
        ["noise"],  # after which the picture is encoded
        *[["image", "noise"]] * 3,
    ]


def test_job_that_is_past_its_deadline_fails_without_work() -> None:
    recorded = RecordedCore()
    recorded.core.handle(job("late", timeout_s=1e-9))
    recorded.core.handle(job("good"))
    recorded.run()
    last = recorded.last_events()
    assert isinstance(last["good"], Finished)
    assert isinstance(last["late"], Failed)
    assert last["late"].code == "timeout"
    assert recorded.runner.begun == [("good", 1)]
