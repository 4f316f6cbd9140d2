import asyncio
import random
from decimal import Decimal

import pytest

from photogram.core.errors import (
    DeadlineExceededError,
    EngineFailedError,
    EngineOverloadedError,
    InsufficientCreditsError,
    StorageError,
)
from photogram.engine.fake import FakeEngine
from photogram.generation.recovery import recover
from photogram.generation.service import GenerationService
from tests.unit.generation.ordering import (
    ORDER,
    PRICE_MICRO,
    PRICES,
    DyingEngine,
    FrugalEngine,
    RefusingEngine,
    StuckEngine,
    generation,
    order,
    until,
)
from tests.unit.storage.stocked import Stock, execute

START_MICRO = 1_000_000


def _assert_nothing_is_held(stock: Stock, *, spent_micro: int) -> None:
    report = stock.ledger.check()
    assert report.violations == ()
    assert report.num_open_holds == 0
    assert stock.balance() == START_MICRO - spent_micro


async def test_pictures_come_out_and_are_paid_for(stock: Stock) -> None:
    engine = FakeEngine()
    service = generation(stock, engine)
    run = await service.create(stock.customer, order(num_images=2))
    assert run.cost_micro == service.quote(order(num_images=2)) == 2 * PRICE_MICRO
    outcome = await service.result(run)
    assert [image.seed for image in outcome.finished.images] == [7, 8]
    assert outcome.cost_micro == 2 * PRICE_MICRO
    assert outcome.remaining_micro == START_MICRO - 2 * PRICE_MICRO
    assert outcome.total_time_s > 0
    assert stock.job(run.job_id) == ("succeeded", None)
    assert engine.num_jobs == 0
    await service.close()
    _assert_nothing_is_held(stock, spent_micro=2 * PRICE_MICRO)


async def test_the_engine_gets_the_order_and_not_the_key(stock: Stock) -> None:
    engine = FakeEngine()
    service = GenerationService(stock.database, engine, PRICES, job_timeout_s=1, with_prompt=True)
    run = await service.create(stock.customer, order(num_images=3, seed=2**53 - 1))
    (job,) = engine.submitted
    assert job.job_id == run.job_id
    assert job.tenant == stock.customer.account_id
    assert job.seeds == (2**53 - 1, 2**53, 2**53 + 1)
    assert (job.prompt, job.width, job.height, job.num_steps) == ("a red fox", 64, 64, 4)
    assert (job.guidance, job.image_format, job.quality) == (3.5, "png", 80)
    assert job.with_prompt
    await service.close()


async def test_a_job_runs_from_its_first_step_on(stock: Stock) -> None:
    engine = FakeEngine(step_s=0.05)
    service = generation(stock, engine)
    run = await service.create(stock.customer, ORDER)
    assert stock.job(run.job_id) == ("queued", None)
    assert stock.balance() == START_MICRO - PRICE_MICRO
    await until(lambda: stock.job(run.job_id)[0] == "running")
    await service.close()
    assert stock.job(run.job_id) == ("succeeded", None)


async def test_a_result_may_be_asked_for_twice_and_late(stock: Stock) -> None:
    service = generation(stock, FakeEngine())
    run = await service.create(stock.customer, ORDER)
    await service.close()
    assert await service.result(run) == await service.result(run)


async def test_only_what_was_made_is_paid_for(stock: Stock) -> None:
    service = generation(stock, FrugalEngine())
    run = await service.create(stock.customer, order(num_images=4))
    outcome = await service.result(run)
    assert outcome.cost_micro == 1_200
    assert outcome.remaining_micro == START_MICRO - 1_200
    _assert_nothing_is_held(stock, spent_micro=1_200)


async def test_a_full_engine_is_told_before_anything_is_written(stock: Stock) -> None:
    engine = FakeEngine(step_s=0.05, queue_limit=1)
    service = generation(stock, engine)
    run = await service.create(stock.customer, ORDER)
    with pytest.raises(EngineOverloadedError) as refused:
        await service.create(stock.customer, ORDER)
    assert refused.value.error_code == "queue_full"
    await service.result(run)
    _assert_nothing_is_held(stock, spent_micro=PRICE_MICRO)
    assert stock.ledger.check().num_transfers == 3


async def test_a_full_engine_is_told_before_missing_credits(stock: Stock) -> None:
    service = generation(stock, FakeEngine(is_ready=False))
    with pytest.raises(EngineOverloadedError):
        await service.create(stock.customer, order(pixel_factor=Decimal(1000)))


async def test_without_credits_the_engine_gets_nothing(stock: Stock) -> None:
    engine = FakeEngine()
    service = generation(stock, engine)
    with pytest.raises(InsufficientCreditsError, match=r"balance is 1 credits.*costs 1\.4"):
        await service.create(stock.customer, order(pixel_factor=Decimal(1000)))
    assert engine.submitted == []
    assert engine.num_jobs == 0
    assert not stock.states()


async def test_a_failed_job_is_not_paid_for(stock: Stock) -> None:
    service = generation(stock, FakeEngine(fail_with="not a number"))
    run = await service.create(stock.customer, ORDER)
    with pytest.raises(EngineFailedError, match="not a number"):
        await service.result(run)
    assert stock.job(run.job_id) == ("failed", "inference_failed")
    _assert_nothing_is_held(stock, spent_micro=0)


@pytest.mark.parametrize("says_so", [True, False])
async def test_an_engine_that_breaks_off_is_not_paid_for(stock: Stock, says_so: bool) -> None:
    service = generation(stock, DyingEngine(says_so=says_so))
    run = await service.create(stock.customer, ORDER)
    with pytest.raises(EngineFailedError, match="broke off"):
        await service.result(run)
    assert stock.job(run.job_id) == ("failed", "inference_failed")
    _assert_nothing_is_held(stock, spent_micro=0)


async def test_a_job_that_the_engine_does_not_take_is_closed(stock: Stock) -> None:
    engine = RefusingEngine()
    service = generation(stock, engine)
    with pytest.raises(RuntimeError, match="no worker"):
        await service.create(stock.customer, ORDER)
    assert engine.num_jobs == 0
    assert stock.states() == {"failed": 1}
    _assert_nothing_is_held(stock, spent_micro=0)


async def test_a_cancelled_job_is_not_paid_for(stock: Stock) -> None:
    engine = FakeEngine(step_s=0.02)
    service = generation(stock, engine)
    run = await service.create(stock.customer, order(num_steps=50))
    service.cancel(run)
    with pytest.raises(EngineFailedError) as ended:
        await service.result(run)
    assert ended.value.error_code == "cancelled"
    assert stock.job(run.job_id) == ("cancelled", "cancelled")
    _assert_nothing_is_held(stock, spent_micro=0)
    service.cancel(run)


async def test_closing_the_engine_ends_jobs_unpaid(stock: Stock) -> None:
    engine = FakeEngine(step_s=0.02)
    service = generation(stock, engine)
    runs = [await service.create(stock.customer, order(num_steps=50)) for _ in range(3)]
    await engine.close()
    for run in runs:
        with pytest.raises(EngineOverloadedError) as ended:
            await service.result(run)
        assert ended.value.error_code == "draining"
    await service.close()
    assert {stock.job(run.job_id) for run in runs} == {("failed", "draining")}
    _assert_nothing_is_held(stock, spent_micro=0)


@pytest.mark.parametrize(("own_s", "servers_s"), [(0.05, 10.0), (None, 0.05), (10.0, 0.05)])
async def test_a_late_job_is_ended_unpaid(
    stock: Stock, own_s: float | None, servers_s: float
) -> None:
    engine = FakeEngine(step_s=0.02)
    service = generation(stock, engine, job_timeout_s=servers_s)
    run = await service.create(stock.customer, order(num_steps=50, timeout_s=own_s))
    with pytest.raises(DeadlineExceededError):
        await service.result(run)
    assert stock.job(run.job_id) == ("failed", "timeout")
    _assert_nothing_is_held(stock, spent_micro=0)
    await until(lambda: engine.num_jobs == 0)
    await service.close()


async def test_a_late_job_of_an_engine_that_hangs_keeps_its_place_but_no_credits(
    stock: Stock,
) -> None:
    engine = StuckEngine()
    service = generation(stock, engine, job_timeout_s=0.05)
    run = await service.create(stock.customer, ORDER)
    with pytest.raises(DeadlineExceededError):
        await service.result(run)
    _assert_nothing_is_held(stock, spent_micro=0)
    assert engine.num_jobs == 1
    engine.let_go.set()
    await until(lambda: engine.num_jobs == 0)
    assert stock.job(run.job_id) == ("failed", "timeout")
    await service.close()


async def test_closing_does_not_wait_for_an_engine_that_hangs(stock: Stock) -> None:
    service = generation(stock, StuckEngine(), job_timeout_s=0.05)
    await service.create(stock.customer, ORDER)
    async with asyncio.timeout(5):
        await service.close()
    _assert_nothing_is_held(stock, spent_micro=0)


async def test_who_stops_waiting_does_not_harm_the_job(stock: Stock) -> None:
    service = generation(stock, FakeEngine(step_s=0.02))
    run = await service.create(stock.customer, ORDER)
    waiting = asyncio.create_task(service.result(run))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await service.result(run)).cost_micro == PRICE_MICRO


async def test_callers_cancelled_at_any_moment_leave_no_hold(stock: Stock) -> None:
    engine = FakeEngine(step_s=0.002)
    service = generation(stock, engine)
    delays = random.Random(0)  # noqa: S311 - the same delays in every run

    async def call() -> None:
        run = await service.create(stock.customer, order(num_steps=5))
        try:
            await service.result(run)
        except asyncio.CancelledError:
            service.cancel(run)
            raise

    async def call_and_give_up() -> bool:
        task = asyncio.create_task(call())
        await asyncio.sleep(delays.choice([0, 0.001, 0.01, 0.1]) * delays.random())
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled()

    gave_up = [await call_and_give_up() for _ in range(60)]
    gave_up += await asyncio.gather(*(call_and_give_up() for _ in range(60)))
    assert any(gave_up)
    await service.close()
    assert engine.num_jobs == 0
    assert set(stock.states()) <= {"succeeded", "cancelled"}
    _assert_nothing_is_held(stock, spent_micro=1_500 * stock.states()["succeeded"])


async def test_a_caller_cancelled_while_its_job_is_written_has_it_cancelled(stock: Stock) -> None:
    engine = FakeEngine(step_s=0.02)
    service = generation(stock, engine)
    task = asyncio.create_task(service.create(stock.customer, order(num_steps=50)))
    while engine.num_jobs == 0:  # it takes its place right before its transaction
        await asyncio.sleep(0)
    assert engine.submitted == []
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await service.close()
    assert stock.states() == {"cancelled": 1}
    _assert_nothing_is_held(stock, spent_micro=0)


async def test_a_caller_cancelled_in_front_of_a_closed_door_leaves_no_trace(stock: Stock) -> None:
    service = generation(stock, FakeEngine())
    task = asyncio.create_task(service.create(stock.customer, order(pixel_factor=Decimal(1000))))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await service.close()
    assert not stock.states()
    _assert_nothing_is_held(stock, spent_micro=0)


async def test_a_picture_that_cannot_be_paid_for_is_not_delivered(stock: Stock) -> None:
    """The database refuses to settle; the hold is released when it works again."""
    service = generation(stock, FakeEngine(step_s=0.02))
    run = await service.create(stock.customer, ORDER)
    await stock.database.run(execute, "ALTER TABLE job RENAME COLUMN finished_at TO gone")
    with pytest.raises(StorageError):
        await service.result(run)
    assert stock.ledger.check().num_open_holds == 1
    await stock.database.run(execute, "ALTER TABLE job RENAME COLUMN gone TO finished_at")
    await until(lambda: stock.ledger.check().num_open_holds == 0)
    assert stock.job(run.job_id) == ("failed", "storage_unavailable")
    _assert_nothing_is_held(stock, spent_micro=0)
    await service.close()


async def test_closing_leaves_to_the_next_start_what_the_database_refuses(stock: Stock) -> None:
    service = generation(stock, FakeEngine(fail_with="no"))
    await stock.database.run(execute, "ALTER TABLE job RENAME COLUMN finished_at TO gone")
    run = await service.create(stock.customer, ORDER)
    with pytest.raises(EngineFailedError):
        await service.result(run)
    await asyncio.sleep(0.4)  # long enough for a first retry, which is refused too
    async with asyncio.timeout(5):
        await service.close()
    assert stock.job(run.job_id) == ("running", None)
    assert stock.ledger.check().num_open_holds == 1


async def test_a_job_that_was_closed_behind_its_back_is_left_as_it_is(stock: Stock) -> None:
    service = generation(stock, FakeEngine(step_s=0.05, fail_with="no"))
    run = await service.create(stock.customer, ORDER)
    recover(stock.database)
    with pytest.raises(EngineFailedError):
        await service.result(run)
    await service.close()
    assert stock.job(run.job_id) == ("failed", "server_restarted")
    _assert_nothing_is_held(stock, spent_micro=0)
