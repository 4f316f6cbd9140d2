import asyncio

import pytest
from sqlalchemy import text

from photogram.core.errors import (
    DeadlineExceededError,
    EngineFailedError,
    EngineOverloadedError,
    StorageError,
)
from photogram.core.messages import Finished, GenerateJob
from photogram.core.ports import Permit
from photogram.engine.fake import FakeEngine
from photogram.generation.orders import Terms
from photogram.generation.repository import jobs
from photogram.generation.service import GenerationService
from tests.unit.generation.ordering import (
    ORDER,
    PRICE_MICRO,
    FragileEngine,
    Meddled,
    StuckEngine,
    end,
    generation,
    keyed,
    lose_the_answer,
    once,
    order,
    recovering,
    until,
)
from tests.unit.storage.stocked import Stock

START_MICRO = 1_000_000


def _paid(stock: Stock) -> int:
    """What is paid for; nothing is held, and the ledger holds."""
    report = stock.ledger.check()
    assert report.violations == ()
    assert report.num_open_holds == 0
    return START_MICRO - stock.balance()


def _row(stock: Stock, job_id: str) -> tuple[str, int, int, str | None]:
    """State, attempt, fence, server."""
    query = text("SELECT state, attempt, fence, server_id FROM job WHERE id = :job_id")
    return tuple(  # type: ignore[return-value]
        stock.database.transact(
            lambda connection: connection.execute(query, {"job_id": job_id}).one()
        )
    )


def _files(stock: Stock) -> set[str]:
    return {name for name, _ in stock.blobs.names()}


async def _result(service: GenerationService, stock: Stock, **changes: object) -> Finished:
    run = await service.create(stock.customer, order(**changes))
    return (await service.result(run)).finished


# --- a worker is lost ---------------------------------------------------------------------------


async def test_a_job_whose_worker_dies_is_painted_again_under_the_same_hold(stock: Stock) -> None:
    engine = FakeEngine(losses=1)
    service = generation(stock, engine)
    run = await service.create(stock.customer, order(num_images=2, seed=5))
    outcome = await service.result(run)
    assert [image.seed for image in outcome.finished.images] == [5, 6]
    first, second = engine.submitted
    assert first == second
    assert _row(stock, run.job_id)[:3] == ("succeeded", 2, 2)
    assert stock.ledger.check().num_transfers == 3  # the grant, one hold, one payment
    assert _paid(stock) == 2 * PRICE_MICRO
    assert engine.num_jobs == 0


async def test_a_job_that_ends_two_workers_is_set_aside_unpaid(stock: Stock) -> None:
    engine = FakeEngine(losses=2)
    service = generation(stock, engine)
    run = await service.create(stock.customer, ORDER)
    with pytest.raises(EngineFailedError, match="set aside and not billed") as ended:
        await service.result(run)
    assert ended.value.error_code == "poison"
    assert stock.job(run.job_id) == ("failed", "poison")
    assert len(engine.submitted) == 2
    assert _paid(stock) == 0
    assert await _result(service, stock)
    assert _paid(stock) == PRICE_MICRO


async def test_jobs_beside_a_poisonous_one_are_served(stock: Stock) -> None:
    engine = FragileEngine()
    service = generation(stock, engine)
    good = [await service.create(stock.customer, order(seed=seed)) for seed in range(4)]
    bad = await service.create(stock.customer, order(prompt="poison"))
    outcomes = await asyncio.gather(*(service.result(run) for run in good))
    with pytest.raises(EngineFailedError):
        await service.result(bad)
    assert stock.job(bad.job_id) == ("failed", "poison")
    assert [outcome.finished.images[0].seed for outcome in outcomes] == [0, 1, 2, 3]
    assert _paid(stock) == 4 * PRICE_MICRO


async def test_suspects_are_tried_again_one_at_a_time(stock: Stock) -> None:
    engine = FragileEngine(step_s=0.2)
    service = generation(stock, engine)
    prompts = ["a fox", "poison", "a hare"]
    runs = [await service.create(stock.customer, order(prompt=each)) for each in prompts]
    await asyncio.gather(*(service.result(run) for run in runs), return_exceptions=True)
    assert max(len(each) for each in engine.beside[:3]) == 3
    assert sorted(engine.beside[3:]) == sorted((each,) for each in prompts)


async def test_a_worker_that_is_being_replaced_is_waited_for(stock: Stock) -> None:
    engine = FakeEngine(losses=1)
    service = generation(stock, engine)
    run = await service.create(stock.customer, ORDER)
    engine.is_ready = False
    await until(lambda: _row(stock, run.job_id)[0] == "queued")
    engine.is_ready = True
    assert (await service.result(run)).cost_micro == PRICE_MICRO


async def test_who_leaves_between_two_attempts_is_not_billed(stock: Stock) -> None:
    engine = FakeEngine(losses=1)
    service = generation(stock, engine)
    run = await service.create(stock.customer, ORDER)
    engine.is_ready = False
    await until(lambda: _row(stock, run.job_id)[:3] == ("queued", 1, 2))
    service.leave(run)
    with pytest.raises(EngineFailedError) as ended:
        await service.result(run)
    assert ended.value.error_code == "cancelled"
    engine.is_ready = True
    assert stock.job(run.job_id) == ("cancelled", "cancelled")
    assert len(engine.submitted) == 1
    assert _paid(stock) == 0


async def test_a_job_that_would_be_late_the_second_time_is_ended(stock: Stock) -> None:
    class Slower(FakeEngine):
        def acquire(self, job: GenerateJob) -> Permit:
            if self.submitted:
                raise DeadlineExceededError
            return super().acquire(job)

    service = generation(stock, Slower(losses=1))
    run = await service.create(stock.customer, ORDER)
    with pytest.raises(DeadlineExceededError):
        await service.result(run)
    assert stock.job(run.job_id) == ("failed", "timeout")
    assert _paid(stock) == 0


async def test_an_engine_that_breaks_at_the_second_attempt_is_not_paid_for(stock: Stock) -> None:
    class Broken(FakeEngine):
        def submit(self, job: GenerateJob, permit: Permit):  # type: ignore[no-untyped-def]
            if self.submitted:
                raise RuntimeError("no worker")
            return super().submit(job, permit)

    engine = Broken(losses=1)
    service = generation(stock, engine)
    run = await service.create(stock.customer, ORDER)
    with pytest.raises(EngineFailedError):
        await service.result(run)
    assert stock.job(run.job_id) == ("failed", "inference_failed")
    assert engine.num_jobs == 0
    assert _paid(stock) == 0


async def test_a_job_cancelled_between_its_attempts_is_not_painted_again(stock: Stock) -> None:
    engine = FakeEngine(losses=1)
    database = Meddled(stock.database)
    service = generation(stock, engine, database=database)
    run = await service.create(stock.customer, ORDER)

    async def cancel() -> None:
        await service.cancel(stock.customer.account_id, run.job_id)

    database.before[jobs.take] = cancel
    with pytest.raises(EngineFailedError) as ended:
        await service.result(run)
    assert ended.value.error_code == "cancelled"
    assert stock.job(run.job_id) == ("cancelled", "cancelled")
    assert len(engine.submitted) == 1
    assert _paid(stock) == 0


async def test_a_deadline_that_passes_while_a_job_is_taken_anew_leaves_no_hold(
    stock: Stock,
) -> None:
    engine = FakeEngine(losses=1)
    database = Meddled(stock.database)
    database.after[jobs.take] = lambda: asyncio.sleep(0.3)
    service = generation(stock, engine, job_timeout_s=0.1, database=database)
    run = await service.create(stock.customer, ORDER)
    with pytest.raises(DeadlineExceededError):
        await service.result(run)
    assert await end(stock, run.job_id) == ("failed", "timeout")
    await service.close()
    assert _paid(stock) == 0


# --- the database does not answer ---------------------------------------------------------------


@pytest.mark.parametrize("is_done", [True, False])
async def test_a_lost_answer_to_taking_a_job_anew_is_asked_for_again(
    stock: Stock, is_done: bool
) -> None:
    database = Meddled(stock.database)
    meddles = database.after if is_done else database.before
    meddles[jobs.take] = once(lose_the_answer)
    service = generation(stock, FakeEngine(losses=1), database=database)
    run = await service.create(stock.customer, ORDER)
    assert (await service.result(run)).cost_micro == PRICE_MICRO
    assert _row(stock, run.job_id)[1:3] == (2, 2)
    assert _paid(stock) == PRICE_MICRO


async def test_an_attempt_that_cannot_be_counted_is_painted_all_the_same(stock: Stock) -> None:
    database = Meddled(stock.database)
    database.before[jobs.start] = lose_the_answer
    service = generation(stock, FakeEngine(), database=database)
    run = await service.create(stock.customer, ORDER)
    assert (await service.result(run)).cost_micro == PRICE_MICRO
    assert _paid(stock) == PRICE_MICRO


async def test_draining_does_not_wait_for_a_database_that_is_away(stock: Stock) -> None:
    engine = FakeEngine(losses=1)
    database = Meddled(stock.database)
    database.before[jobs.take] = lose_the_answer
    service = generation(stock, engine, database=database)
    run = await service.create(stock.customer, ORDER, terms=keyed())
    engine.drain()
    with pytest.raises(StorageError):
        await service.result(run)
    async with asyncio.timeout(5):
        await service.close()
    assert _paid(stock) == 0


# --- a server leaves ----------------------------------------------------------------------------


async def _leave(stock: Stock, terms: Terms) -> str:
    """A server that closes in the middle of a job; returns its id."""
    engine = FakeEngine(step_s=0.05)
    service = generation(stock, engine)
    run = await service.create(stock.customer, order(num_steps=50), terms=terms)
    await until(lambda: engine.steps_run.get(run.job_id, 0) > 0)
    await engine.close()
    with pytest.raises(EngineOverloadedError) as ended:
        await service.result(run)
    assert ended.value.error_code == "draining"
    await service.close()
    return run.job_id


@pytest.mark.parametrize("terms", [keyed(), Terms(is_async=True)], ids=["keyed", "async"])
async def test_a_durable_job_is_left_to_the_next_server(stock: Stock, terms: Terms) -> None:
    job_id = await _leave(stock, terms)
    assert _row(stock, job_id) == ("queued", 0, 2, None)
    assert stock.ledger.check().num_open_holds == 1
    engine = FakeEngine()
    service = generation(stock, engine)
    async with recovering(stock, service):
        assert await end(stock, job_id) == ("succeeded", None)
    assert engine.submitted[0].seeds == (ORDER.seed,)
    assert _row(stock, job_id)[1] == 1
    await service.close()
    record = await service.shelf.find(stock.customer.account_id, job_id)
    assert (await service.shelf.outcome(record)).finished.images[0].seed == ORDER.seed
    assert _paid(stock) == service.quote(order(num_steps=50))


async def test_a_job_whose_client_waits_ends_with_its_server(stock: Stock) -> None:
    job_id = await _leave(stock, Terms())
    assert stock.job(job_id) == ("failed", "draining")
    assert _paid(stock) == 0


async def test_servers_that_leave_in_order_do_not_poison_a_job(stock: Stock) -> None:
    job_id = await _leave(stock, keyed())
    for _ in range(3):
        engine = FakeEngine(step_s=0.05)
        service = generation(stock, engine)
        async with recovering(stock, service):
            await until(lambda engine=engine: engine.steps_run.get(job_id, 0) > 0)  # type: ignore[misc]
            await engine.close()
            await service.close()
        assert _row(stock, job_id)[:2] == ("queued", 0)
    service = generation(stock, FakeEngine())
    async with recovering(stock, service):
        assert await end(stock, job_id) == ("succeeded", None)
    await service.close()


async def test_a_server_that_was_taken_for_dead_cannot_close_its_jobs(stock: Stock) -> None:
    """It comes back with a picture; the job is another's, and so is the payment."""
    stuck = StuckEngine()
    first = generation(stock, stuck)
    run = await first.create(stock.customer, ORDER, terms=keyed())
    await until(lambda: stock.job(run.job_id)[0] == "running")

    second = generation(stock, FakeEngine())
    async with recovering(stock, second):
        assert await end(stock, run.job_id) == ("succeeded", None)
    files = _files(stock)
    assert len(files) == 1

    stuck.let_go.set()
    with pytest.raises(EngineFailedError):
        await first.result(run)
    await first.close()
    await second.close()
    assert _files(stock) == files
    assert _row(stock, run.job_id)[:3] == ("succeeded", 2, 2)
    assert _paid(stock) == PRICE_MICRO


async def test_whatever_breaks_in_following_a_job_releases_its_hold(stock: Stock) -> None:
    service = generation(stock, FakeEngine())
    service._dispatcher._engine = None  # type: ignore[assignment]
    engine = FakeEngine(losses=1)
    service._engine = engine
    run = await service.create(stock.customer, ORDER)
    with pytest.raises(EngineFailedError):
        await service.result(run)
    assert stock.job(run.job_id) == ("failed", "inference_failed")
    assert _paid(stock) == 0


async def test_a_closed_job_is_told_to_nobody_any_more(stock: Stock) -> None:
    service = generation(stock, FakeEngine())
    run = await service.create(stock.customer, ORDER)
    assert service.shelf.listen(run.job_id) is not None
    await service.result(run)
    assert service.shelf.listen(run.job_id) is None
