"""The life of a job, from an order to paid pictures.

An order and a principal go in; a run comes out once the job is written down and its price is held,
and its outcome once the hold is settled. Who waits here may be cancelled at any point: no hold
stays behind. It knows nothing of HTTP, of tables, or of how the engine works.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

from photogram.accounts.models import Principal
from photogram.core import ids
from photogram.core.errors import EngineFailedError
from photogram.core.messages import Finished, GenerateJob, ImageFormat, JobEvent, Progress
from photogram.core.ports import Engine, Permit
from photogram.generation import repository
from photogram.generation.dispatcher import Dispatcher, Outcome, Submission
from photogram.generation.repository import NewJob
from photogram.generation.states import JobState
from photogram.ledger.pricing import PriceTable, price_micro
from photogram.storage.database import Database


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be painted; validated, and with every default filled in.

    Attributes:
        seed: The first picture's; picture i has ``seed + i``, so that it is the same picture as an
            order of one with that seed.
        quality: 0-100.
        pixel_factor: The price's factor for this size; 1 at the model's native sizes.
        timeout_s: The caller's own deadline; the server's holds too.
    """

    prompt: str
    width: int
    height: int
    num_steps: int
    guidance: float
    seed: int
    num_images: int
    image_format: ImageFormat
    quality: int
    pixel_factor: Decimal
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A job that was admitted: its price is held, and the engine has it."""

    job_id: str
    cost_micro: int
    ending: asyncio.Task[Outcome]


class GenerationService:
    """Admits orders, and follows their jobs to the end.

    Args:
        database: Where jobs and credits are.
        engine: What paints.
        prices: What it costs.
        job_timeout_s: A job that is older fails, and is not billed.
        with_prompt: Write prompts into the pictures' metadata.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        prices: PriceTable,
        *,
        job_timeout_s: float,
        with_prompt: bool,
    ) -> None:
        self._database = database
        self._engine = engine
        self._prices = prices
        self._job_timeout_s = job_timeout_s
        self._with_prompt = with_prompt
        self._dispatcher = Dispatcher(database, engine)
        self._admissions: set[asyncio.Task[Run]] = set()

    def quote(self, order: Order) -> int:
        """What the order costs, in micro-credits."""
        return price_micro(
            self._prices,
            num_images=order.num_images,
            num_steps=order.num_steps,
            guidance=order.guidance,
            pixel_factor=order.pixel_factor,
        )

    async def create(
        self,
        principal: Principal,
        order: Order,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Run:
        """Hold the order's price, write its job down, and hand it to the engine.

        A caller that is cancelled here has no job: it is cancelled too, wherever it was.

        Args:
            principal: Who orders.
            order: What.
            on_progress: Told of every step, on the event loop; it must neither wait nor fail.

        Raises:
            EngineOverloadedError: The engine is full, loading or draining; nothing was written.
            InsufficientCreditsError: The account has less than the price; nothing was written.
            StorageError: The database refused; nothing was written.
        """
        admission = asyncio.create_task(self._admit(principal, order, on_progress))
        self._admissions.add(admission)
        admission.add_done_callback(self._admissions.discard)
        try:
            return await asyncio.shield(admission)
        except asyncio.CancelledError:
            admission.add_done_callback(self._abandon)
            raise

    async def result(self, run: Run) -> Outcome:
        """Wait for the run's pictures. To be cancelled here does not harm the job.

        Raises:
            EngineFailedError: The engine failed on it, or (code ``cancelled``) it was cancelled.
            EngineOverloadedError: The engine closes (code ``draining``).
            DeadlineExceededError: It took too long.
            StorageError: It could not be settled.
        """
        return await asyncio.shield(run.ending)

    def cancel(self, run: Run) -> None:
        """Ask the engine to stop a run; its hold is released when the engine has stopped."""
        self._engine.cancel(run.job_id)

    async def close(self) -> None:
        """Wait for every job to end; close the engine first for it to be soon."""
        while self._admissions:
            await asyncio.wait(self._admissions)
        await self._dispatcher.close()

    async def _admit(
        self,
        principal: Principal,
        order: Order,
        on_progress: Callable[[Progress], None] | None,
    ) -> Run:
        created_s = time.perf_counter()
        cost_micro = self.quote(order)
        job_id = ids.new_id()
        new_job = NewJob(
            id=job_id,
            account_id=principal.account_id,
            key_id=principal.key_id,
            cost_micro=cost_micro,
            price_version=self._prices.version,
            num_images=order.num_images,
            num_steps=order.num_steps,
            guidance=order.guidance,
            pixel_factor=order.pixel_factor,
        )
        job = self._engine_job(job_id, principal, order)
        permit = self._engine.acquire(job)
        try:
            await self._database.run(repository.admit, new_job)
        except BaseException:
            permit.release()
            raise
        submission = Submission(
            job_id=job_id,
            events=await self._submit(job, permit),
            price_micro=partial(self._price_of, order, cost_micro),
            deadline_s=job.timeout_s,
            created_s=created_s,
            on_progress=on_progress,
        )
        return Run(job_id, cost_micro, self._dispatcher.follow(submission))

    async def _submit(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        try:
            return self._engine.submit(job, permit)
        except Exception:
            permit.release()
            await self._dispatcher.fail(job.job_id, JobState.FAILED, EngineFailedError.code)
            raise

    def _engine_job(self, job_id: str, principal: Principal, order: Order) -> GenerateJob:
        return GenerateJob(
            job_id=job_id,
            tenant=principal.account_id,
            prompt=order.prompt,
            width=order.width,
            height=order.height,
            num_steps=order.num_steps,
            guidance=order.guidance,
            seeds=tuple(order.seed + index for index in range(order.num_images)),
            image_format=order.image_format,
            quality=order.quality,
            with_prompt=self._with_prompt,
            timeout_s=self._deadline_s(order),
        )

    def _deadline_s(self, order: Order) -> float:
        if order.timeout_s is None:
            return self._job_timeout_s
        return min(order.timeout_s, self._job_timeout_s)

    def _price_of(self, order: Order, cost_micro: int, finished: Finished) -> int:
        """The price of what was really made; never more than was held."""
        made = replace(order, num_images=len(finished.images), num_steps=finished.num_steps)
        return min(self.quote(made), cost_micro)

    def _abandon(self, admission: asyncio.Task[Run]) -> None:
        """The caller is gone: end what it asked for. An admission that failed left nothing."""
        if not admission.cancelled() and admission.exception() is None:
            self.cancel(admission.result())
