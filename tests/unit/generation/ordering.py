"""Orders, and engines that misbehave in one way each."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from PIL import Image

from photogram.core.errors import StorageError
from photogram.core.messages import (
    WORKER_LOST,
    Failed,
    Finished,
    GenerateJob,
    JobEnd,
    JobEvent,
    Progress,
    Started,
)
from photogram.core.ports import Engine, Permit
from photogram.engine.fake import FakeEngine
from photogram.generation.lease import ServerLease
from photogram.generation.orders import IdempotencyKey, Order, Terms
from photogram.generation.recovery import Recovery
from photogram.generation.results import Results
from photogram.generation.rules import Rules
from photogram.generation.service import GenerationService
from photogram.generation.states import OPEN_STATES
from photogram.ledger.pricing import PriceTable
from photogram.storage.backend import OUTCOME_UNKNOWN
from photogram.storage.database import Database
from tests.unit.generation.catalogues import catalogue_of
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


def plain_png(mode: str = "RGB") -> bytes:
    """A picture of ORDER's size to begin from."""
    buffer = io.BytesIO()
    Image.new(mode, (64, 64)).save(buffer, "PNG")
    return buffer.getvalue()


def keyed(key: str = "key", fingerprint: str = "print") -> Terms:
    """The terms of a request that may be sent again."""
    return Terms(idempotency=IdempotencyKey(key, fingerprint))


def generation(
    stock: Stock,
    engine: Engine,
    *,
    job_timeout_s: float = 10,
    with_prompt: bool = False,
    database: Database | None = None,
    prices: PriceTable = PRICES,
) -> GenerationService:
    """As a server that has just begun, whose predecessors are gone.

    Its pictures lie in a folder beside the database.
    """
    lease = ServerLease(stock.database, is_alone=True)
    return GenerationService(
        database or stock.database,
        engine,
        Results(stock.blobs, timedelta(hours=24)),
        Rules(
            catalogue=catalogue_of(engine.model, prices=prices),
            job_timeout_s=job_timeout_s,
            async_timeout_s=2 * job_timeout_s,
            jobs_per_account=1000,
            with_prompt=with_prompt,
        ),
        server_id=lease.server_id,
    )


@contextlib.asynccontextmanager
async def recovering(stock: Stock, service: GenerationService) -> AsyncIterator[None]:
    """The service takes over, meanwhile, what other servers have left."""
    recovery = Recovery(stock.database, service, service._server_id)
    watching = asyncio.create_task(recovery.watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})


async def end(stock: Stock, job_id: str) -> tuple[str, str | None]:
    """The last state of a job and its error code, as soon as it is closed."""
    await until(lambda: stock.job(job_id)[0] not in OPEN_STATES)
    return stock.job(job_id)


class Meddled(Database):
    """A database where something happens before or after transactions of a kind."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.before: dict[Callable[..., Any], Callable[[], Awaitable[None]]] = {}
        self.after: dict[Callable[..., Any], Callable[[], Awaitable[None]]] = {}

    async def run(self, fn: Callable[..., Any], *args: Any, readonly: bool = False) -> Any:
        if meddle := self.before.get(fn):
            await meddle()
        result = await self._database.run(fn, *args, readonly=readonly)
        if meddle := self.after.get(fn):
            await meddle()
        return result


async def lose_the_answer() -> None:
    """What `Database.run` raises when a connection breaks in a commit."""
    raise StorageError(code=OUTCOME_UNKNOWN)


def once(meddle: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """The first time only."""
    left = [meddle]

    async def first() -> None:
        if left:
            await left.pop()()

    return first


async def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    """Wait until calling `condition` gives something true."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


class FragileEngine(FakeEngine):
    """One worker, which a job with the prompt "poison" ends, and with it all others' work.

    Attributes:
        beside: For each begun attempt, the prompts of the jobs that were at work with it.
    """

    def __init__(self, *, step_s: float = 0.02) -> None:
        super().__init__(step_s=step_s)
        self.beside: list[tuple[str, ...]] = []
        self._at_work: dict[str, str] = {}
        self._worker_gone = asyncio.Event()

    async def _run(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        worker_gone = self._worker_gone
        try:
            async with contextlib.aclosing(super()._run(job, permit)) as events:  # type: ignore[type-var]
                async for event in events:
                    if isinstance(event, Started):
                        self._at_work[job.job_id] = job.prompt
                        self.beside.append(tuple(self._at_work.values()))
                    if job.prompt == "poison" and isinstance(event, Progress):
                        self._worker_gone = asyncio.Event()
                        self._at_work.clear()
                        worker_gone.set()
                    if worker_gone.is_set():
                        yield Failed(job_id=job.job_id, code=WORKER_LOST, message=WORKER_LOST)
                        return
                    yield event
        finally:
            self._at_work.pop(job.job_id, None)


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
    """Begins every job, and then does not hear that it is cancelled, until `let_go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()

    async def _run(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        yield Started(job.job_id)
        await self.let_go.wait()
        async with contextlib.aclosing(super()._run(job, permit)) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, JobEnd):
                    yield event


class QueueingEngine(FakeEngine):
    """Begins with jobs when `begin` is set."""

    def __init__(self, *, step_s: float = 0.0) -> None:
        super().__init__(step_s=step_s)
        self.begin = asyncio.Event()

    async def _run(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        await self.begin.wait()
        async with contextlib.aclosing(super()._run(job, permit)) as events:  # type: ignore[type-var]
            async for event in events:
                yield event


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
