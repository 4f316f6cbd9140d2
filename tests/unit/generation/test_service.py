import asyncio
import random
from decimal import Decimal

import pytest

from photogram.accounts.models import Principal
from photogram.core.errors import (
    ConflictError,
    DeadlineExceededError,
    EngineFailedError,
    EngineOverloadedError,
    InsufficientCreditsError,
    NotFoundError,
    StorageError,
)
from photogram.engine.fake import FakeEngine
from photogram.generation.orders import Terms
from photogram.generation.service import Run
from tests.unit.generation.ordering import (
    ORDER,
    PRICE_MICRO,
    DyingEngine,
    FrugalEngine,
    QueueingEngine,
    RefusingEngine,
    StuckEngine,
    generation,
    keyed,
    order,
    until,
)
from tests.unit.storage.stocked import Stock, execute, take_over_all

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
    service = generation(stock, engine, with_prompt=True)
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
    engine = QueueingEngine(step_s=0.02)
    service = generation(stock, engine)
    run = await service.create(stock.customer, ORDER)
    assert stock.job(run.job_id) == ("queued", None)
    assert stock.balance() == START_MICRO - PRICE_MICRO
    engine.begin.set()
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
    service.leave(run)
    with pytest.raises(EngineFailedError) as ended:
        await service.result(run)
    assert ended.value.error_code == "cancelled"
    assert stock.job(run.job_id) == ("cancelled", "cancelled")
    _assert_nothing_is_held(stock, spent_micro=0)
    service.leave(run)


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
            service.leave(run)
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
    take_over_all(stock.database)
    with pytest.raises(EngineFailedError):
        await service.result(run)
    await service.close()
    assert stock.job(run.job_id) == ("failed", "server_restarted")
    _assert_nothing_is_held(stock, spent_micro=0)


# --- the same request again ---------------------------------------------------------------------


async def test_a_request_that_was_answered_is_answered_again_and_billed_once(stock: Stock) -> None:
    engine = FakeEngine()
    service = generation(stock, engine)
    first = await service.create(stock.customer, order(num_images=2), terms=keyed())
    outcome = await service.result(first)
    again = await service.create(stock.customer, order(num_images=2), terms=keyed())
    assert again.is_replay
    assert (again.job_id, again.order) == (first.job_id, first.order)
    assert await service.result(again) == outcome
    assert len(engine.submitted) == 1
    _assert_nothing_is_held(stock, spent_micro=2 * PRICE_MICRO)


async def test_fifty_at_once_with_one_key_are_one_job(stock: Stock) -> None:
    engine = FakeEngine(step_s=0.01)
    service = generation(stock, engine)

    async def ask() -> object:
        run = await service.create(stock.customer, ORDER, terms=keyed())
        return (await service.result(run)).finished.images

    answers = await asyncio.gather(*(ask() for _ in range(50)), return_exceptions=True)
    refused = [each for each in answers if isinstance(each, Exception)]
    assert all(isinstance(each, ConflictError) for each in refused)
    assert {each.error_code for each in refused} <= {"idempotency_conflict"}  # type: ignore[attr-defined]
    assert all(each.retry_after_s for each in refused)  # type: ignore[attr-defined]
    pictures = {each for each in answers if not isinstance(each, Exception)}
    assert len(pictures) == 1
    assert await ask() in pictures
    assert len(engine.submitted) == 1
    assert engine.num_jobs == 0
    assert stock.states() == {"succeeded": 1}
    _assert_nothing_is_held(stock, spent_micro=PRICE_MICRO)


async def test_two_servers_make_one_job_of_one_key(stock: Stock) -> None:
    engines = [FakeEngine(step_s=0.02), FakeEngine(step_s=0.02)]
    services = [generation(stock, engine) for engine in engines]
    asked = [
        services[number % 2].create(stock.customer, ORDER, terms=keyed()) for number in range(10)
    ]
    runs = await asyncio.gather(*asked, return_exceptions=True)
    (run,) = [each for each in runs if isinstance(each, Run)]
    await services[0].result(run)
    assert sum(len(engine.submitted) for engine in engines) == 1
    _assert_nothing_is_held(stock, spent_micro=PRICE_MICRO)


async def test_another_request_with_the_same_key_is_a_conflict(stock: Stock) -> None:
    service = generation(stock, FakeEngine())
    await service.result(await service.create(stock.customer, ORDER, terms=keyed()))
    with pytest.raises(ConflictError, match="another request") as refused:
        await service.create(stock.customer, ORDER, terms=keyed(fingerprint="other"))
    assert refused.value.error_code == "idempotency_conflict"
    assert refused.value.retry_after_s is None
    _assert_nothing_is_held(stock, spent_micro=PRICE_MICRO)


async def test_a_request_that_failed_may_be_tried_again_with_its_key(stock: Stock) -> None:
    engine = FakeEngine(fail_with="no")
    service = generation(stock, engine)
    first = await service.create(stock.customer, ORDER, terms=keyed())
    with pytest.raises(EngineFailedError):
        await service.result(first)
    engine.fail_with = None
    second = await service.create(stock.customer, ORDER, terms=keyed())
    assert not second.is_replay
    assert second.job_id != first.job_id
    assert (await service.result(second)).cost_micro == PRICE_MICRO
    third = await service.create(stock.customer, ORDER, terms=keyed())
    assert third.is_replay
    assert third.job_id == second.job_id
    _assert_nothing_is_held(stock, spent_micro=PRICE_MICRO)


async def test_a_request_that_was_refused_may_be_made_with_its_key(stock: Stock) -> None:
    service = generation(stock, FakeEngine())
    with pytest.raises(InsufficientCreditsError):
        await service.create(stock.customer, order(pixel_factor=Decimal(1000)), terms=keyed())
    run = await service.create(stock.customer, ORDER, terms=keyed())
    assert (await service.result(run)).cost_micro == PRICE_MICRO
    _assert_nothing_is_held(stock, spent_micro=PRICE_MICRO)


async def test_accounts_share_no_keys(stock: Stock) -> None:
    service = generation(stock, FakeEngine())
    await service.result(await service.create(stock.customer, ORDER, terms=keyed()))
    other_key = stock.accounts.create_key("bob")
    bob = Principal(stock.accounts.account_id("bob"), other_key.key_id)
    stock.ledger.grant(bob.account_id, PRICE_MICRO, actor="test")
    run = await service.create(bob, ORDER, terms=keyed())
    assert not run.is_replay
    assert (await service.result(run)).remaining_micro == 0
    _assert_nothing_is_held(stock, spent_micro=PRICE_MICRO)


async def test_who_gives_up_a_request_with_a_key_finds_its_answer_later(stock: Stock) -> None:
    engine = FakeEngine(step_s=0.02)
    service = generation(stock, engine)
    run = await service.create(stock.customer, ORDER, terms=keyed())
    service.leave(run)
    with pytest.raises(ConflictError, match="under way"):
        await service.create(stock.customer, ORDER, terms=keyed())
    await service.close()
    again = await service.create(stock.customer, ORDER, terms=keyed())
    assert again.is_replay
    assert (await service.result(again)).cost_micro == PRICE_MICRO
    assert len(engine.submitted) == 1
    _assert_nothing_is_held(stock, spent_micro=PRICE_MICRO)


async def test_jobs_of_who_waits_and_of_who_does_not_have_their_own_deadlines(
    stock: Stock,
) -> None:
    engine = FakeEngine()
    service = generation(stock, engine, job_timeout_s=10)
    for terms in (Terms(), Terms(is_async=True)):
        await service.result(await service.create(stock.customer, ORDER, terms=terms))
    assert [job.timeout_s for job in engine.submitted] == [10, 20]


# --- stopped by its account ---------------------------------------------------------------------


async def test_a_job_that_its_account_cancels_is_stopped_and_not_paid_for(stock: Stock) -> None:
    engine = FakeEngine(step_s=0.02)
    service = generation(stock, engine)
    run = await service.create(stock.customer, order(num_steps=50), terms=Terms(is_async=True))
    await service.cancel(stock.customer.account_id, run.job_id)
    assert stock.job(run.job_id) == ("cancelled", "cancelled")
    _assert_nothing_is_held(stock, spent_micro=0)
    with pytest.raises(EngineFailedError) as ended:
        await service.result(run)
    assert ended.value.error_code == "cancelled"
    await until(lambda: engine.num_jobs == 0)
    assert engine.steps_run.get(run.job_id, 0) < 50
    await service.cancel(stock.customer.account_id, run.job_id)
    await service.close()


async def test_nobody_cancels_another_account_s_job(stock: Stock) -> None:
    engine = FakeEngine(step_s=0.01)
    service = generation(stock, engine)
    run = await service.create(stock.customer, ORDER, terms=Terms(is_async=True))
    stock.accounts.create_key("bob")
    with pytest.raises(NotFoundError):
        await service.cancel(stock.accounts.account_id("bob"), run.job_id)
    assert (await service.result(run)).cost_micro == PRICE_MICRO
