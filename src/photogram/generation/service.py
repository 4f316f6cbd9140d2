"""The life of a job, from an order to paid pictures that can be fetched again.

An order, its terms and a principal go in; a run comes out once the job is written down and its price
is held, and its outcome once the hold is settled. Who waits here may be cancelled at any point: no
hold stays behind. It knows nothing of HTTP, of tables, or of how the engine works.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from photogram.accounts.models import Principal
from photogram.core import clock, ids
from photogram.core.errors import (
    EngineFailedError,
    NotFoundError,
    PhotogramError,
    StorageError,
)
from photogram.core.messages import Finished, GenerateJob, JobEvent
from photogram.core.ports import Engine, Permit
from photogram.generation.closing import Holding, Outcome
from photogram.generation.dispatcher import Dispatcher, Submission
from photogram.generation.files import Files
from photogram.generation.orders import KeptOrder, Order, Terms
from photogram.generation.repository import answers, jobs
from photogram.generation.repository.jobs import FIRST_FENCE, NewJob
from photogram.generation.repository.servers import Orphan
from photogram.generation.results import Results
from photogram.generation.shelf import Shelf
from photogram.ledger.pricing import PriceTable, price_micro
from photogram.storage.backend import OUTCOME_UNKNOWN
from photogram.storage.database import Database


@dataclass(frozen=True, slots=True)
class Limits:
    """How long jobs may take, and how many there may be.

    Attributes:
        job_timeout_s: Of a job whose client waits.
        async_timeout_s: Of one that outlives its client.
        jobs_per_account: Open at once; a key may have a lower limit of its own.
    """

    job_timeout_s: float
    async_timeout_s: float
    jobs_per_account: int


@dataclass(frozen=True, slots=True)
class Run:
    """A job that was admitted: its price is held, and the engine has it.

    Attributes:
        request_id: What the client calls it, or its id. Where `is_replay`, that of the first time.
        order: What is painted. Where `is_replay`, what was painted the first time.
        ending: None: the same request was made before; nothing is painted or billed again.
    """

    job_id: str
    request_id: str
    order: Order
    cost_micro: int
    ending: "asyncio.Task[Outcome] | None"
    is_durable: bool

    @property
    def is_replay(self) -> bool:
        """The same request was made before."""
        return self.ending is None


class GenerationService:
    """Admits orders, and follows their jobs to the end.

    Args:
        database: Where jobs and credits are.
        engine: What paints.
        prices: What it costs.
        results: Where pictures go.
        server_id: Who works on the jobs; registered in the database.
        limits: How long they may take.
        with_prompt: Write prompts into the pictures' metadata.
        on_end: Called after the end of each job: there may be something to tell.

    Attributes:
        shelf: Jobs as they are found again.
        files: Files as they are fetched.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        prices: PriceTable,
        results: Results,
        *,
        server_id: str,
        limits: Limits,
        with_prompt: bool,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self._database = database
        self._engine = engine
        self._prices = prices
        self._results = results
        self._server_id = server_id
        self._limits = limits
        self._with_prompt = with_prompt
        self._dispatcher = Dispatcher(database, engine, results, server_id, on_end)
        self.files = Files(database, results)
        self.shelf = Shelf(database, engine, results, self._dispatcher.live)
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
        on_event: Callable[[JobEvent], None] | None = None,
        terms: Terms | None = None,
    ) -> Run:
        """Hold the order's price, write its job down, and hand it to the engine.

        A caller that is cancelled here has no job: it is cancelled too, wherever it was, unless it
        is durable.

        Args:
            principal: Who orders.
            order: What.
            on_event: Told of every event on the way, on the event loop; it must neither wait nor
                fail.
            terms: How; None: the client waits, and gives it no name.

        Raises:
            ConflictError: The idempotency key is another request's, or its request is under way.
            EngineOverloadedError: The engine is full, loading or draining; nothing was written.
            InsufficientCreditsError: The account has less than the price; nothing was written.
            StorageError: The database refused; nothing was written.
        """
        admission = asyncio.create_task(
            self._admit_or_replay(principal, order, on_event, terms or Terms())
        )
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
            NotFoundError: It is a replay without pictures, or they have expired.
            StorageError: It could not be settled, or not be read again.
        """
        if run.ending is None:
            return await self.shelf.outcome(await self.shelf.get(run.job_id))
        return await asyncio.shield(run.ending)

    def leave(self, run: Run) -> None:
        """The client of a run is gone: stop it, unless it is durable."""
        if not run.is_durable:
            self._engine.cancel(run.job_id)

    async def cancel(self, account_id: str, job_id: str) -> None:
        """Stop a job of the account, wherever it is, and release its hold.

        A job that has ended is left as it is.

        Raises:
            NotFoundError: The account has no such job.
            StorageError: The database refused; it goes on.
        """
        await self._database.run(jobs.cancel, account_id, job_id)
        self._engine.cancel(job_id)

    async def resume(self, orphan: Orphan) -> None:
        """Hand a job over to the engine that another server has left behind; waits for a place.

        Raises:
            EngineOverloadedError: The engine is full, loading or draining; the job waits.
            DeadlineExceededError: It has no time left.
        """
        order = KeptOrder.decode(orphan.request).order
        left_s = (orphan.deadline_at - clock.now()).total_seconds() if orphan.deadline_at else 0.0
        job = self._engine_job(orphan.id, orphan.account_id, order, left_s)
        permit = self._engine.acquire(job)
        holding = Holding(orphan.id, orphan.fence, time.perf_counter(), orphan.attempt)
        await self._begin(job, permit, holding, order, orphan.held_micro)

    async def give_up(self, holding: Holding, error: PhotogramError) -> None:
        """Close a job that the engine does not have, as failed, and release its hold."""
        await self._dispatcher.closer.fail(holding, error)

    async def close(self) -> None:
        """Wait for every job to end; close the engine first for it to be soon."""
        while self._admissions:
            await asyncio.wait(self._admissions)
        await self._dispatcher.close()

    async def _admit_or_replay(
        self,
        principal: Principal,
        order: Order,
        on_event: Callable[[JobEvent], None] | None,
        terms: Terms,
    ) -> Run:
        if terms.idempotency is not None:
            earlier = await self._database.run(
                answers.find, principal.account_id, terms.idempotency, readonly=True
            )
            if earlier is not None:
                return await self._replay(earlier)
        return await self._admit(principal, order, on_event, terms)

    async def _admit(
        self,
        principal: Principal,
        order: Order,
        on_event: Callable[[JobEvent], None] | None,
        terms: Terms,
    ) -> Run:
        self._results.check_space()
        holding = Holding(ids.new_id(), FIRST_FENCE, time.perf_counter())
        cost_micro = self.quote(order)
        timeout_s = self._timeout_s(order, terms)
        job = self._engine_job(holding.job_id, principal.account_id, order, timeout_s)
        permit = self._engine.acquire(job)
        try:
            new_job = self._new_job(holding.job_id, principal, order, terms, cost_micro)
            earlier = await self._database.run(jobs.admit, new_job)
        except BaseException as error:
            permit.release()
            if isinstance(error, StorageError) and error.error_code == OUTCOME_UNKNOWN:
                await self.give_up(holding, error)  # it may have been written after all
            raise
        if earlier is not None:
            permit.release()
            return await self._replay(earlier)
        ending = await self._begin(
            job, permit, holding, order, cost_micro, on_event, is_durable=terms.is_durable
        )
        request_id = terms.request_id or holding.job_id
        return Run(holding.job_id, request_id, order, cost_micro, ending, terms.is_durable)

    async def _begin(
        self,
        job: GenerateJob,
        permit: Permit,
        holding: Holding,
        order: Order,
        cost_micro: int,
        on_event: Callable[[JobEvent], None] | None = None,
        *,
        is_durable: bool = True,
    ) -> asyncio.Task[Outcome]:
        """Hand a job to the engine that is written down."""
        try:
            events: AsyncIterator[JobEvent] = self._engine.submit(job, permit)
        except Exception:
            permit.release()
            await self._dispatcher.closer.fail(holding, EngineFailedError())
            raise
        submission = Submission(
            job=job,
            holding=holding,
            is_durable=is_durable,
            events=events,
            price_micro=partial(self._price_of, order, cost_micro),
            on_event=on_event,
        )
        return self._dispatcher.follow(submission)

    async def _replay(self, job_id: str) -> Run:
        """The run that a request had before."""
        record = await self.shelf.get(job_id)
        if record.order is None:
            raise NotFoundError(f"request {job_id!r} is not kept any more")
        return Run(
            job_id, record.request_id, record.order, record.held_micro, ending=None, is_durable=True
        )

    def _new_job(
        self, job_id: str, principal: Principal, order: Order, terms: Terms, cost_micro: int
    ) -> NewJob:
        return NewJob(
            id=job_id,
            account_id=principal.account_id,
            key_id=principal.key_id,
            cost_micro=cost_micro,
            price_version=self._prices.version,
            num_images=order.num_images,
            num_steps=order.num_steps,
            guidance=order.guidance,
            pixel_factor=order.pixel_factor,
            request_id=terms.request_id or job_id,
            request=KeptOrder(order, terms.files_url).encode(),
            is_durable=terms.is_durable,
            server_id=self._server_id,
            deadline_at=clock.now() + timedelta(seconds=self._timeout_s(order, terms)),
            webhook_url=terms.webhook_url,
            webhook_secret=terms.webhook_secret,
            spend_cap_micro=principal.spend_cap_micro,
            jobs_of_account=self._limits.jobs_per_account,
            jobs_of_key=principal.jobs_at_once,
            idempotency=terms.idempotency,
        )

    def _engine_job(
        self, job_id: str, account_id: str, order: Order, timeout_s: float
    ) -> GenerateJob:
        return GenerateJob(
            job_id=job_id,
            tenant=account_id,
            prompt=order.prompt,
            width=order.width,
            height=order.height,
            num_steps=order.num_steps,
            guidance=order.guidance,
            seeds=tuple(order.seed + index for index in range(order.num_images)),
            image_format=order.image_format,
            quality=order.quality,
            with_prompt=self._with_prompt,
            timeout_s=timeout_s,
            num_previews=order.num_previews,
        )

    def _timeout_s(self, order: Order, terms: Terms) -> float:
        limits = self._limits
        most_s = limits.async_timeout_s if terms.is_async else limits.job_timeout_s
        return most_s if order.timeout_s is None else min(order.timeout_s, most_s)

    def _price_of(self, order: Order, cost_micro: int, finished: Finished) -> int:
        """The price of what was really made; never more than was held."""
        made = replace(order, num_images=len(finished.images), num_steps=finished.num_steps)
        return min(self.quote(made), cost_micro)

    def _abandon(self, admission: asyncio.Task[Run]) -> None:
        """The caller is gone: end what it asked for. An admission that failed left nothing."""
        if not admission.cancelled() and admission.exception() is None:
            self.leave(admission.result())
