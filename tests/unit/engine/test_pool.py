import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from msgspec.structs import replace

from photogram.core.errors import (
    ConfigurationError,
    DeadlineExceededError,
    EngineOverloadedError,
    ModelUnavailableError,
)
from photogram.core.messages import (
    CANCELLED,
    DEFAULT_MODEL,
    DRAINING,
    Failed,
    Finished,
    GenerateJob,
    JobEvent,
)
from photogram.core.ports import Permit
from photogram.engine.fake import FAKE_MODEL, FakeEngine
from photogram.engine.pool import EnginePool
from photogram.engine.rotation import Room
from photogram.engine.slot import PooledModel
from tests.unit.engine.recording import job

ONE = Room(num_models=1)


class Gated(FakeEngine):
    """One whose model is loaded when the test says so."""

    def __init__(self, gate: asyncio.Event, **options: object) -> None:
        super().__init__(is_ready=False, **options)  # type: ignore[arg-type]
        self._gate = gate

    async def start(self) -> None:
        self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        await self._gate.wait()
        await super().start()


class Garage:
    """Makes engines, and remembers them."""

    def __init__(self, **options: object) -> None:
        self.made: list[FakeEngine] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.options: dict[str, object] = options

    def make(self, slug: str) -> FakeEngine:
        model = replace(FAKE_MODEL, slug=slug)
        self.made.append(Gated(self.gate, model=model, **self.options))
        return self.made[-1]

    def pooled(self, slug: str, size_bytes: int = 4) -> PooledModel:
        model = replace(FAKE_MODEL, slug=slug)
        return PooledModel(model, size_bytes, lambda: self.make(slug))


@contextlib.asynccontextmanager
async def running(room: Room, *garages: Garage, queue_limit: int = 8) -> AsyncIterator[EnginePool]:
    """A pool of the models a, b, ..."""
    models = [garage.pooled(slug) for slug, garage in zip("abcd", garages, strict=False)]
    pool = EnginePool(models, room, queue_limit=queue_limit)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


def state(pool: EnginePool, slug: str) -> str:
    return {each.slug: each.state for each in pool.report()}[slug]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def ask(pool: EnginePool, name: str, model: str, **fields: object) -> AsyncIterator[JobEvent]:
    one = job(name, model=model, **fields)
    return pool.submit(one, pool.acquire(one))


async def end(events: AsyncIterator[JobEvent]) -> JobEvent:
    async with asyncio.timeout(30):
        return [event async for event in events][-1]


async def test_each_job_goes_to_the_model_that_it_names() -> None:
    a, b = Garage(), Garage()
    async with running(Room(), a, b) as pool:
        await until(lambda: state(pool, "b") == "loaded")
        ends = [await end(ask(pool, f"j{model}", model)) for model in ("a", "b", DEFAULT_MODEL)]
        assert all(isinstance(each, Finished) for each in ends)
        assert [each.model for each in a.made[0].submitted] == ["a", "a"]
        assert [each.job_id for each in b.made[0].submitted] == ["jb"]
        with pytest.raises(ModelUnavailableError, match="no model x"):
            pool.acquire(job("j", model="x"))


async def test_a_job_waits_for_its_model_and_the_idle_one_goes_first() -> None:
    a, b = Garage(), Garage()
    async with running(ONE, a, b) as pool:
        await until(lambda: pool.is_ready)
        assert (state(pool, "a"), state(pool, "b")) == ("loaded", "waiting")
        b.gate.clear()
        events = ask(pool, "j", "b")
        await until(lambda: bool(b.made))
        assert (state(pool, "a"), state(pool, "b"), pool.is_ready) == ("waiting", "loading", True)
        assert (pool.num_jobs, a.made[0].is_draining) == (1, True)
        forecast = pool.forecast("j")
        assert forecast is not None
        assert forecast.queue_position == 1
        b.gate.set()
        assert isinstance(await end(events), Finished)
        assert pool.num_jobs == 0


async def test_a_swap_never_breaks_a_job_under_way() -> None:
    a, b = Garage(step_s=0.02), Garage()
    async with running(ONE, a, b) as pool:
        await until(lambda: pool.is_ready)
        long = asyncio.create_task(end(ask(pool, "long", "a", num_steps=10)))
        await until(lambda: pool.num_jobs == 1)
        short = await end(ask(pool, "short", "b"))
        assert long.done()
        assert isinstance(await long, Finished)
        assert isinstance(short, Finished)


async def test_models_that_are_both_asked_for_take_turns() -> None:
    """Each new job of a comes while an older one runs: a is never idle of its own accord."""
    a, b = Garage(step_s=0.01), Garage()

    async with running(ONE, a, b) as pool:
        await until(lambda: pool.is_ready)
        jobs = [asyncio.create_task(end(ask(pool, "a0", "a", num_steps=20)))]
        waiting = asyncio.create_task(end(ask(pool, "b0", "b")))
        while not waiting.done():
            await until(lambda: jobs[-1].done() or pool.forecast(f"a{len(jobs) - 1}") is not None)
            jobs.append(asyncio.create_task(end(ask(pool, f"a{len(jobs)}", "a", num_steps=20))))
            await asyncio.sleep(0.1)
        assert isinstance(await waiting, Finished)
        ends = await asyncio.gather(*jobs)
        assert [each for each in ends if not isinstance(each, Finished)] == []


async def test_a_model_that_cannot_be_loaded_fails_who_waits_and_leaves_the_others() -> None:
    a, b = Garage(), Garage(load_failure="x.safetensors is truncated")
    async with running(ONE, a, b) as pool:
        await until(lambda: pool.is_ready)
        b.gate.clear()
        events = ask(pool, "j", "b")
        await until(lambda: bool(b.made))
        b.gate.set()
        failed = await end(events)
        assert isinstance(failed, Failed)
        assert failed.code == "model_unavailable"
        assert "x.safetensors" not in failed.message
        assert state(pool, "b") == "failed"
        with pytest.raises(ModelUnavailableError) as refused:
            pool.acquire(job("again", model="b"))
        assert refused.value.retry_after_s is not None
        await until(lambda: state(pool, "a") == "loaded")
        assert isinstance(await end(ask(pool, "after", "a")), Finished)
        assert pool.load_failure is None


async def test_a_server_whose_models_all_fail_says_why() -> None:
    async with running(
        ONE, Garage(load_failure="a is bad"), Garage(load_failure="b is bad")
    ) as pool:
        await until(lambda: pool.load_failure is not None)
        assert pool.load_failure == "a is bad; b is bad"
        assert not pool.is_ready


async def test_a_job_that_would_wait_too_long_is_told_when_to_come_back() -> None:
    a, b = Garage(), Garage()
    async with running(ONE, a, b) as pool:
        await until(lambda: pool.is_ready)
        with pytest.raises(EngineOverloadedError) as refused:
            pool.acquire(job("j", model="b", timeout_s=2.0))
        assert refused.value.error_code == "model_loading"
        assert refused.value.retry_after_s == pytest.approx(5, abs=0.5)
        assert pool.num_jobs == 0
        await until(lambda: state(pool, "b") == "loaded")  # it was asked for
        with pytest.raises(DeadlineExceededError):
            pool.acquire(job("k", model="a", timeout_s=-1.0))


async def test_only_so_many_wait() -> None:
    a = Garage()
    a.gate.clear()
    async with running(ONE, a, queue_limit=1) as pool:
        permit: Permit = pool.acquire(job("one"))
        with pytest.raises(EngineOverloadedError) as refused:
            pool.acquire(job("two"))
        assert refused.value.error_code == "queue_full"
        permit.release()
        permit.release()
        assert pool.num_jobs == 0


async def test_a_job_that_waits_can_be_cancelled() -> None:
    a = Garage()
    a.gate.clear()
    async with running(ONE, a) as pool:
        events = ask(pool, "j", "a")
        pool.cancel("j")
        failed = await end(events)
        assert isinstance(failed, Failed)
        assert (failed.code, pool.num_jobs) == (CANCELLED, 0)


async def test_who_waits_when_the_server_drains_is_told_so() -> None:
    a = Garage()
    a.gate.clear()
    async with running(ONE, a) as pool:
        events, late = ask(pool, "j", "a"), job("late")
        permit = pool.acquire(late)
        pool.drain()
        for each in (events, pool.submit(late, permit)):
            failed = await end(each)
            assert isinstance(failed, Failed)
            assert failed.code == DRAINING
        with pytest.raises(EngineOverloadedError) as refused:
            pool.acquire(job("k"))
        assert (refused.value.error_code, pool.num_jobs) == (DRAINING, 0)


async def test_what_is_left_of_its_time_goes_with_a_job() -> None:
    a = Garage()
    a.gate.clear()
    async with running(ONE, a) as pool:
        events = ask(pool, "j", "a", timeout_s=60.0)
        await asyncio.sleep(0.05)
        a.gate.set()
        finished = await end(events)
        assert isinstance(finished, Finished)
        assert finished.queue_time_s > 0.04
        handed: GenerateJob = a.made[0].submitted[0]
        assert 0 < handed.timeout_s < 60 - 0.04


async def test_a_model_that_never_fits_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="b takes about"):
        EnginePool(
            [Garage().pooled("a"), Garage().pooled("b", size_bytes=9)],
            Room(num_bytes=8),
            queue_limit=1,
        )
