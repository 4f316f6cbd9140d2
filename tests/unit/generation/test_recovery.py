import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from sqlalchemy import Connection, text

from photogram.accounts.models import Principal
from photogram.core import clock
from photogram.core.messages import Source
from photogram.engine.fake import FAKE_MODEL, FakeEngine
from photogram.generation.orders import KeptOrder, SourcePictures, Terms
from photogram.generation.repository import jobs, servers
from photogram.ledger import repository as ledger
from photogram.ledger.pricing import PriceTable
from tests.postgres import Cluster
from tests.unit.generation.ordering import (
    ORDER,
    PRICE_MICRO,
    Meddled,
    QueueingEngine,
    StuckEngine,
    end,
    generation,
    keyed,
    once,
    order,
    plain_png,
    recovering,
    until,
)
from tests.unit.storage.stocked import (
    Stock,
    execute,
    new_job,
    open_stock,
    start,
    succeed,
    take_over,
    take_over_all,
)

START_MICRO = 1_000_000


def _paid(stock: Stock) -> int:
    report = stock.ledger.check()
    assert report.violations == ()
    assert report.num_open_holds == 0
    return START_MICRO - stock.balance()


def _attempt(connection: Connection, job_id: str) -> int:
    query = text("SELECT attempt FROM job WHERE id = :job_id")
    return int(connection.execute(query, {"job_id": job_id}).scalar_one())


async def _orphan(stock: Stock, terms: Terms | None = None, **changes: object) -> str:
    """A job that was begun by a server that is gone."""
    service = generation(stock, StuckEngine())
    run = await service.create(stock.customer, order(**changes), terms=terms or keyed())
    await until(lambda: stock.job(run.job_id)[0] == "running")
    return run.job_id


def test_open_jobs_fail_and_their_holds_are_released(stock: Stock) -> None:
    queued, running, done = (stock.admit(300_000) for _ in range(3))
    stock.database.transact(start, running)
    stock.database.transact(succeed, done, 300_000)
    assert take_over_all(stock.database) == 2
    assert stock.job(queued) == ("failed", "server_restarted")
    assert stock.job(running) == ("failed", "server_restarted")
    assert stock.job(done) == ("succeeded", None)
    assert stock.balance() == 700_000
    assert stock.ledger.check().is_ok
    assert take_over_all(stock.database) == 0


async def test_a_durable_job_of_a_server_that_is_gone_is_painted_again(stock: Stock) -> None:
    job_id = await _orphan(stock, seed=99, num_images=2)
    engine = FakeEngine()
    service = generation(stock, engine)
    async with recovering(stock, service):
        assert await end(stock, job_id) == ("succeeded", None)
    assert engine.submitted[0].seeds == (99, 100)
    assert stock.ledger.check().num_transfers == 3
    assert _paid(stock) == 2 * PRICE_MICRO
    await service.close()


@pytest.mark.parametrize("mask", [None, plain_png("L")])
async def test_it_begins_from_the_same_picture_again(stock: Stock, mask: bytes | None) -> None:
    image = plain_png()
    job_id = await _orphan(stock, strength=0.5, source=SourcePictures(image, mask))
    engine = FakeEngine()
    service = generation(stock, engine)
    async with recovering(stock, service):
        assert await end(stock, job_id) == ("succeeded", None)
    (job,) = engine.submitted
    assert job.source == Source(image=image, mask=mask, first_step=2)
    assert _paid(stock) == PRICE_MICRO - 200


async def test_one_whose_picture_is_gone_fails_and_says_so(stock: Stock) -> None:
    job_id = await _orphan(stock, strength=0.5, source=SourcePictures(plain_png()))
    stock.blobs.remove([name for name, _ in stock.blobs.names()])
    service = generation(stock, FakeEngine())
    async with recovering(stock, service):
        assert await end(stock, job_id) == ("failed", "not_found")
    assert _paid(stock) == 0


async def test_a_job_whose_client_is_gone_is_closed(stock: Stock) -> None:
    job_id = await _orphan(stock, Terms())
    engine = FakeEngine()
    service = generation(stock, engine)
    async with recovering(stock, service):
        assert await end(stock, job_id) == ("failed", "server_restarted")
    assert engine.submitted == []
    assert _paid(stock) == 0


async def test_a_job_that_has_ended_two_servers_is_set_aside(stock: Stock) -> None:
    job_id = await _orphan(stock)
    service = generation(stock, StuckEngine())
    async with recovering(stock, service):
        await until(lambda: stock.database.transact(_attempt, job_id) == 2)
    engine = FakeEngine()
    service = generation(stock, engine)
    async with recovering(stock, service):
        assert await end(stock, job_id) == ("failed", "poison")
    assert engine.submitted == []
    assert _paid(stock) == 0


async def test_a_job_that_came_back_too_late_is_not_painted(stock: Stock) -> None:
    job_id = await _orphan(stock)
    stock.database.transact(execute, "UPDATE job SET deadline_at = '2020-01-01 00:00:00.000000'")
    engine = FakeEngine()
    service = generation(stock, engine)
    async with recovering(stock, service):
        assert await end(stock, job_id) == ("failed", "timeout")
    assert engine.submitted == []
    assert _paid(stock) == 0


async def test_a_place_in_a_full_engine_is_waited_for(stock: Stock) -> None:
    job_ids = [await _orphan(stock, keyed(str(number))) for number in range(3)]
    service = generation(stock, FakeEngine(step_s=0.02, queue_limit=1))
    async with recovering(stock, service):
        for job_id in job_ids:
            assert await end(stock, job_id) == ("succeeded", None)
    await service.close()
    assert _paid(stock) == 3 * PRICE_MICRO


async def test_a_request_that_cannot_be_read_is_given_up_and_others_are_not(stock: Stock) -> None:
    broken = await _orphan(stock, keyed("broken"))
    stock.database.transact(execute, "UPDATE job SET request = '{\"order\": 1}'")
    good = await _orphan(stock, keyed("good"))
    service = generation(stock, FakeEngine())
    async with recovering(stock, service):
        assert await end(stock, good) == ("succeeded", None)
        assert await end(stock, broken) == ("failed", "inference_failed")
    await service.close()
    assert _paid(stock) == PRICE_MICRO


async def test_a_job_cancelled_while_nobody_has_it_stays_cancelled(stock: Stock) -> None:
    job_id = await _orphan(stock)
    engine = FakeEngine()
    service = generation(stock, engine)
    await service.cancel(stock.customer.account_id, job_id)
    async with recovering(stock, service):
        await asyncio.sleep(0.1)
    assert stock.job(job_id) == ("cancelled", "cancelled")
    assert engine.submitted == []
    assert _paid(stock) == 0


async def test_a_server_takes_nothing_of_one_that_lives(stock: Stock) -> None:
    service = generation(stock, QueueingEngine())
    await service.create(stock.customer, ORDER, terms=keyed())
    stock.database.transact(servers.register, "another", timedelta(seconds=15))
    assert take_over(stock.database, "another") == []


async def test_a_server_whose_lease_has_ended_does_not_take_its_own_jobs(stock: Stock) -> None:
    """As after a while without the database: it renews the lease in a moment."""
    engine = QueueingEngine()
    service = generation(stock, engine)
    run = await service.create(stock.customer, ORDER)
    stock.database.transact(servers.renew, service._server_id, timedelta())
    assert take_over(stock.database, service._server_id) == []
    engine.begin.set()
    assert (await service.result(run)).cost_micro == PRICE_MICRO


async def test_a_server_that_closes_leaves_what_it_has_just_taken(stock: Stock) -> None:
    job_id = await _orphan(stock)
    engine = FakeEngine()
    service = generation(stock, engine)
    engine.drain()
    async with recovering(stock, service):
        await until(lambda: stock.job(job_id)[0] == "queued")
    assert engine.submitted == []
    service = generation(stock, FakeEngine())
    async with recovering(stock, service):
        assert await end(stock, job_id) == ("succeeded", None)
    await service.close()


async def test_of_many_jobs_a_server_takes_a_few_at_a_time(stock: Stock) -> None:
    service = generation(stock, QueueingEngine())
    for number in range(5):
        await service.create(stock.customer, ORDER, terms=keyed(str(number)))
    stock.database.transact(servers.renew, service._server_id, timedelta())
    for name in ("one", "two"):
        stock.database.transact(servers.register, name, timedelta(seconds=15))
    first = stock.database.transact(servers.take_over, "one", 3)
    second = stock.database.transact(servers.take_over, "two", 3)
    assert (len(first), len(second)) == (3, 2)
    assert not {each.id for each in first} & {each.id for each in second}
    assert {each.fence for each in first + second} == {2}


@pytest.mark.parametrize("has_deadline", [True, False])
async def test_what_is_taken_over_says_what_is_to_be_painted(
    stock: Stock, has_deadline: bool
) -> None:
    service = generation(stock, QueueingEngine())
    run = await service.create(stock.customer, ORDER, terms=keyed())
    if not has_deadline:
        stock.database.transact(execute, "UPDATE job SET deadline_at = NULL")
    stock.database.transact(servers.renew, service._server_id, timedelta())
    stock.database.transact(servers.register, "next", timedelta(seconds=15))
    (orphan,) = take_over(stock.database, "next")
    assert orphan.id == run.job_id
    assert KeptOrder.decode(orphan.request).order == ORDER
    assert orphan.held_micro == PRICE_MICRO
    assert orphan.is_durable
    assert orphan.attempt == 0
    if has_deadline:
        assert orphan.deadline_at is not None
        assert orphan.deadline_at > clock.now()
    stock.database.transact(jobs.leave, orphan.id, orphan.fence)
    assert take_over(stock.database, "next")[0].fence == 4


async def test_a_job_is_painted_again_at_the_price_that_it_was_admitted_at(stock: Stock) -> None:
    job_id = await _orphan(stock)
    free = PriceTable(Decimal(0), Decimal(0), Decimal(0))
    service = generation(stock, FakeEngine(), prices=free)
    async with recovering(stock, service):
        assert await end(stock, job_id) == ("succeeded", None)
    await service.close()
    assert _paid(stock) == PRICE_MICRO


async def test_a_job_whose_closing_breaks_does_not_keep_others(stock: Stock) -> None:
    jobs_left = [await _orphan(stock, Terms()) for _ in range(2)]
    durable = await _orphan(stock)
    meddled = Meddled(stock.database)

    async def break_off() -> None:
        raise RuntimeError("a bug")

    meddled.before[jobs.fail] = once(break_off)
    service = generation(stock, FakeEngine(), database=meddled)
    async with recovering(stock, service):
        assert await end(stock, durable) == ("succeeded", None)
        assert await end(stock, jobs_left[1]) == ("failed", "server_restarted")
    assert stock.job(jobs_left[0]) == ("queued", None)
    await service.close()


async def test_a_customer_who_is_busy_keeps_no_other_ones_jobs_from_being_closed(
    postgres: Cluster,
) -> None:
    """Each is closed by itself: together, they and an admission would wait for each other."""
    with postgres.database() as url, open_stock(url, amount_micro=START_MICRO) as stock:
        first = await _orphan(stock, Terms())
        key = stock.accounts.create_key("bob")
        bob = Principal(stock.accounts.account_id("bob"), key.key_id)
        stock.ledger.grant(bob.account_id, START_MICRO, actor="test")
        orphaned = replace(new_job(bob, 100), server_id=None)
        stock.database.transact(jobs.admit, orphaned)
        locked, may_go_on = threading.Event(), threading.Event()

        def admit_slowly(connection: Connection) -> None:
            ledger.lock(connection, bob.account_id)
            locked.set()
            may_go_on.wait(30)
            jobs.admit(connection, new_job(bob, 100))

        admission = asyncio.create_task(stock.database.run(admit_slowly))
        await asyncio.to_thread(locked.wait, 30)
        service = generation(stock, FakeEngine())
        async with recovering(stock, service):
            assert await end(stock, first) == ("failed", "server_restarted")
            may_go_on.set()
            await admission
            assert await end(stock, orphaned.id) == ("failed", "server_restarted")
        await service.close()


async def test_a_job_of_a_model_that_is_gone_is_closed_unbilled(stock: Stock) -> None:
    engine = StuckEngine()
    engine.model = msgspec.structs.replace(FAKE_MODEL, slug="gone")
    run = await generation(stock, engine).create(stock.customer, order(model="gone"), terms=keyed())
    gone, kept = run.job_id, await _orphan(stock, keyed("kept"), model=FAKE_MODEL.slug)
    service = generation(stock, FakeEngine())
    async with recovering(stock, service):
        await until(lambda: stock.job(gone)[0] == "failed")
        await until(lambda: stock.job(kept)[0] == "succeeded")
    await service.close()
    assert stock.job(gone) == ("failed", "model_gone")
    assert _paid(stock) == PRICE_MICRO
