"""Orders, and engines that misbehave in one way each."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal

from photogram.core.messages import Finished, GenerateJob, JobEvent, Progress
from photogram.core.ports import Engine, Permit
from photogram.engine.fake import FakeEngine
from photogram.generation.service import GenerationService, Order
from photogram.ledger.pricing import PriceTable
from tests.unit.storage.stocked import Stock

PRICES = PriceTable(Decimal("0.001"), Decimal("0.0001"), Decimal("0"))
ORDER = Order(
    prompt="a red fox",
    width=64,
    height=64,
    num_steps=4,
    guidance=3.5,
    seed=7,
    num_images=1,
    image_format="png",
    quality=80,
    pixel_factor=Decimal(1),
)
PRICE_MICRO = 1_400
"""What ORDER costs: 0.001 + 4 * 0.0001 credits."""


def order(**changes: object) -> Order:
    return replace(ORDER, **changes)  # type: ignore[arg-type]


def generation(stock: Stock, engine: Engine, *, job_timeout_s: float = 10) -> GenerationService:
    return GenerationService(
        stock.database, engine, PRICES, job_timeout_s=job_timeout_s, with_prompt=False
    )


async def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    """Wait until calling `condition` gives something true."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


class RefusingEngine(FakeEngine):
    """Breaks when a job is handed over."""

    def submit(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        raise RuntimeError("no worker")


class DyingEngine(FakeEngine):
    """Breaks off in the middle of every job, as an engine with a bug would."""

    def __init__(self, *, says_so: bool) -> None:
        super().__init__()
        self.says_so = says_so

    async def _run(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        yield Progress(job.job_id, 1, job.num_steps)
        permit.release()
        if self.says_so:
            raise RuntimeError("the worker is gone")


class StuckEngine(FakeEngine):
    """Does not hear that a job is cancelled, until `let_go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()

    async def _run(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        try:
            await self.let_go.wait()
            yield Progress(job.job_id, job.num_steps, job.num_steps)
        finally:
            permit.release()


class FrugalEngine(FakeEngine):
    """Stops after half of the steps, makes one picture only, and says nothing before."""

    async def _run(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        async with contextlib.aclosing(super()._run(job, permit)) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, Finished):
                    yield Finished(
                        job_id=event.job_id,
                        images=event.images[:1],
                        prompt_tokens=event.prompt_tokens,
                        prompt_truncated=event.prompt_truncated,
                        num_steps=event.num_steps // 2,
                        queue_time_s=0,
                        generation_time_s=0,
                    )
