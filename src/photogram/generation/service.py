"""The life of a job, from an order to paid pictures that can be fetched again.

An order, its terms and a principal go in; a run comes out once the job is written down and its price
is held, and its outcome once the hold is settled. Who waits here may be cancelled at any point: no
hold stays behind. It knows nothing of HTTP, of tables, or of how the engine works.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial

from photogram.accounts.models import Principal
from photogram.core import clock, ids
from photogram.core.errors import (
    EngineFailedError,
    NotFoundError,
    PhotogramError,
    StorageError,
)
from photogram.core.messages import GenerateJob, JobEvent
from photogram.core.ports import Engine, Permit
from photogram.generation.closing import Holding, Outcome
from photogram.generation.dispatcher import Dispatcher, Submission
from photogram.generation.files import Files
from photogram.generation.orders import KeptOrder, Order, Terms
from photogram.generation.repository import answers, jobs
from photogram.generation.repository.jobs import FIRST_FENCE, NewJob
from photogram.generation.repository.servers import Orphan
from photogram.generation.results import Results, new_source_names
from photogram.generation.rules import Rules
from photogram.generation.shelf import Shelf
from photogram.storage.backend import OUTCOME_UNKNOWN
from photogram.storage.database import Database


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
        results: Where pictures go.
        rules: What holds for every job.
        server_id: Who works on the jobs; registered in the database.
        on_end: Called after the end of each job: there may be something to tell.

    Attributes:
        catalogue: The models that can be ordered.
        shelf: Jobs as they are found again.
        files: Files as they are fetched.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        results: Results,
        rules: Rules,
        *,
        server_id: str,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self._database = database
        self._engine = engine
        self._results = results
        self._rules = rules
        self.catalogue = rules.catalogue
        self._server_id = server_id
        self._dispatcher = Dispatcher(database, engine, results, server_id, on_end)
        self.files = Files(database, results)
        self.shelf = Shelf(database, engine, results, self._dispatcher.live, rules.catalogue)
        self._admissions: set[asyncio.Task[Run]] = set()

    def has_room(self) -> bool:
        """Whether there is room for another job's pictures."""
        try:
            self._results.check_space()
        except StorageError:
            return False
        return True

    def quote(self, order: Order) -> int:
        """What the order costs, in micro-credits."""
        return self._rules.price_micro(order)

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
            self._dispatcher.stop(run.job_id)

    async def cancel(self, account_id: str, job_id: str) -> None:
        """Stop a job of the account, wherever it is, and release its hold.

        A job that has ended is left as it is.

        Raises:
            NotFoundError: The account has no such job.
            StorageError: The database refused; it goes on.
        """
        await self._database.run(jobs.cancel, account_id, job_id)
        self._dispatcher.stop(job_id)

    async def resume(self, orphan: Orphan) -> None:
        """Hand a job over to the engine that another server has left behind; waits for a place.

        Raises:
            EngineOverloadedError: The engine is full, loading or draining; the job waits.
            DeadlineExceededError: It has no time left.
            NotFoundError: What it begins from is not there any more.
        """
        kept = KeptOrder.decode(orphan.request)
        order = kept.order
        if kept.source is not None:
            order = replace(order, source=await self._results.load_source(kept.source))
        left_s = (orphan.deadline_at - clock.now()).total_seconds() if orphan.deadline_at else 0.0
        job = self._rules.engine_job(orphan.id, orphan.account_id, order, left_s)
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
        source = new_source_names(order.source) if terms.is_durable else None
        new_job = self._rules.new_job(
            holding.job_id, principal, order, terms, self._server_id, source
        )
        timeout_s = self._rules.timeout_s(order, terms)
        job = self._rules.engine_job(new_job.id, new_job.account_id, order, timeout_s)
        permit = self._engine.acquire(job)
        try:
            earlier = await self._write_down(new_job, order)
        except BaseException as error:
            permit.release()
            if isinstance(error, StorageError) and error.error_code == OUTCOME_UNKNOWN:
                await self.give_up(holding, error)  # it may have been written after all
            raise
        if earlier is not None:
            permit.release()
            return await self._replay(earlier)
        ending = await self._begin(
            job, permit, holding, order, new_job.cost_micro, on_event, is_durable=terms.is_durable
        )
        request_id = terms.request_id or new_job.id
        return Run(new_job.id, request_id, order, new_job.cost_micro, ending, terms.is_durable)

    async def _write_down(self, new: NewJob, order: Order) -> str | None:
        """As `jobs.admit`, after what the job begins from; where that is not needed, it is gone."""
        if new.source is None or order.source is None:
            return await self._database.run(jobs.admit, new)
        await self._results.keep_source(new.source, order.source)
        try:
            earlier = await self._database.run(jobs.admit, new)
        except PhotogramError as error:
            if error.error_code != OUTCOME_UNKNOWN:
                await self._results.remove(new.source.files)
            raise
        if earlier is not None:
            await self._results.remove(new.source.files)
        return earlier

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
            price_micro=partial(self._rules.price_of_made_micro, order, cost_micro),
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

    def _abandon(self, admission: asyncio.Task[Run]) -> None:
        """The caller is gone: end what it asked for. An admission that failed left nothing."""
        if not admission.cancelled() and admission.exception() is None:
            self.leave(admission.result())
