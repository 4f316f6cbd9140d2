import asyncio
from pathlib import Path

import pytest

from photogram.core.errors import EngineFailedError, StorageError
from photogram.core.messages import EncodedImage, Finished
from photogram.engine.fake import FakeEngine
from photogram.generation.orders import Terms
from photogram.generation.repository import jobs, records
from tests.unit.generation.ordering import (
    ORDER,
    PRICE_MICRO,
    Meddled,
    end,
    generation,
    keyed,
    lose_the_answer,
    once,
    order,
    until,
)
from tests.unit.storage.stocked import Stock, succeed

START_MICRO = 1_000_000


def _files(stock: Stock) -> set[str]:
    return {name for name, _ in stock.blobs.names()}


def _folder(stock: Stock) -> Path:
    return stock.blobs._path


def _paid(stock: Stock) -> int:
    report = stock.ledger.check()
    assert report.violations == ()
    assert report.num_open_holds == 0
    return START_MICRO - stock.balance()


async def test_pictures_lie_as_files_that_the_database_knows(stock: Stock) -> None:
    service = generation(stock, FakeEngine())
    run = await service.create(stock.customer, order(num_images=3))
    outcome = await service.result(run)
    assert _files(stock) == {each.file_name for each in outcome.files}
    record = stock.database.transact(records.get, run.job_id, readonly=True)
    assert record.images == outcome.files
    assert await service.shelf.outcome(record) == outcome


async def test_files_are_there_before_the_job_is_paid_for(stock: Stock) -> None:
    database = Meddled(stock.database)
    service = generation(stock, FakeEngine(), database=database)
    seen: list[int] = []

    async def look() -> None:
        seen.append(len(_files(stock)))

    database.before[jobs.succeed] = look
    await service.result(await service.create(stock.customer, order(num_images=2)))
    assert seen == [2]


async def test_a_folder_that_refuses_fails_the_job_unpaid(stock: Stock) -> None:
    service = generation(stock, FakeEngine(step_s=0.02))
    run = await service.create(stock.customer, ORDER)
    folder = _folder(stock)
    folder.rename(folder.with_name("elsewhere-" + folder.name))
    try:
        with pytest.raises(StorageError, match="nothing was billed"):
            await service.result(run)
    finally:
        folder.with_name("elsewhere-" + folder.name).rename(folder)
    assert stock.job(run.job_id) == ("failed", "storage_unavailable")
    assert _paid(stock) == 0
    assert _files(stock) == set()


async def test_a_disk_below_its_floor_takes_nothing_new(stock: Stock) -> None:
    stock.blobs._floor_bytes = 2**62
    engine = FakeEngine()
    service = generation(stock, engine)
    with pytest.raises(StorageError, match="nearly full"):
        await service.create(stock.customer, ORDER)
    assert engine.num_jobs == 0
    assert not stock.states()


async def test_a_job_cancelled_behind_its_picture_leaves_no_file_and_no_payment(
    stock: Stock,
) -> None:
    database = Meddled(stock.database)
    service = generation(stock, FakeEngine(), database=database)
    run = await service.create(stock.customer, ORDER)

    async def cancel() -> None:
        await service.cancel(stock.customer.account_id, run.job_id)

    database.before[jobs.succeed] = cancel
    with pytest.raises(EngineFailedError) as ended:
        await service.result(run)
    assert ended.value.error_code == "cancelled"
    assert stock.job(run.job_id) == ("cancelled", "cancelled")
    assert _files(stock) == set()
    assert _paid(stock) == 0


# --- the answer of the database is lost ---------------------------------------------------------


async def test_a_payment_whose_answer_was_lost_is_found_and_delivered(stock: Stock) -> None:
    database = Meddled(stock.database)
    database.after[jobs.succeed] = lose_the_answer
    service = generation(stock, FakeEngine(), database=database)
    run = await service.create(stock.customer, ORDER)
    outcome = await service.result(run)
    assert outcome.remaining_micro == START_MICRO - PRICE_MICRO
    assert _files(stock) == {outcome.files[0].file_name}
    assert _paid(stock) == PRICE_MICRO


async def test_a_payment_that_did_not_happen_leaves_no_file(stock: Stock) -> None:
    database = Meddled(stock.database)
    database.before[jobs.succeed] = lose_the_answer
    service = generation(stock, FakeEngine(), database=database)
    run = await service.create(stock.customer, ORDER)
    with pytest.raises(StorageError):
        await service.result(run)
    assert (await end(stock, run.job_id))[0] == "failed"
    await until(lambda: not _files(stock))
    assert _paid(stock) == 0


async def test_pictures_of_a_job_that_another_server_has_finished_do_not_stay(stock: Stock) -> None:
    database = Meddled(stock.database)
    service = generation(stock, FakeEngine(), database=database)
    run = await service.create(stock.customer, ORDER)

    async def be_overtaken() -> None:
        stock.database.transact(succeed, run.job_id, PRICE_MICRO)
        await lose_the_answer()

    database.before[jobs.succeed] = be_overtaken
    with pytest.raises(StorageError):
        await service.result(run)
    assert stock.job(run.job_id) == ("succeeded", None)
    assert _files(stock) == set()
    assert _paid(stock) == PRICE_MICRO


@pytest.mark.parametrize("is_done", [True, False])
async def test_a_payment_that_nobody_can_tell_of_yet_keeps_its_files_until_it_is_known(
    stock: Stock, is_done: bool
) -> None:
    database = Meddled(stock.database)
    meddles = database.after if is_done else database.before
    meddles[jobs.succeed] = lose_the_answer
    database.before[records.get] = lose_the_answer
    database.before[jobs.fail] = once(lose_the_answer)
    service = generation(stock, FakeEngine(), database=database)
    run = await service.create(stock.customer, ORDER)
    with pytest.raises(StorageError):
        await service.result(run)
    assert len(_files(stock)) == 1
    if is_done:
        await asyncio.sleep(0.5)  # a second try to fail it has come, and found it succeeded
        assert stock.job(run.job_id) == ("succeeded", None)
        assert len(_files(stock)) == 1
    else:
        await until(lambda: not _files(stock))
    await service.close()
    assert _paid(stock) == (PRICE_MICRO if is_done else 0)


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize("terms", [Terms(), keyed()], ids=["waiting", "durable"])
async def test_an_admission_whose_answer_was_lost_leaves_no_hold(
    stock: Stock, is_done: bool, terms: Terms
) -> None:
    database = Meddled(stock.database)
    meddles = database.after if is_done else database.before
    meddles[jobs.admit] = lose_the_answer
    engine = FakeEngine()
    service = generation(stock, engine, database=database)
    with pytest.raises(StorageError):
        await service.create(stock.customer, ORDER, terms=terms)
    assert engine.num_jobs == 0
    assert engine.submitted == []
    await service.close()
    assert _paid(stock) == 0
    if not is_done:
        assert not stock.states()


async def test_nothing_is_lost_of_a_picture_in_the_database(stock: Stock) -> None:
    class Odd(FakeEngine):
        async def _run(self, job, permit):  # type: ignore[no-untyped-def]
            async for event in super()._run(job, permit):
                if isinstance(event, Finished):
                    image = EncodedImage(
                        seed=2**53 + 3,
                        width=1,
                        height=2,
                        content_type="image/webp",
                        data=bytes(range(256)),
                    )
                    yield Finished(
                        job_id=event.job_id,
                        images=(image,),
                        prompt_tokens=513,
                        prompt_truncated=True,
                        num_steps=3,
                        queue_time_s=1.25,
                        generation_time_s=2.5,
                    )
                else:
                    yield event

    service = generation(stock, Odd())
    outcome = await service.result(await service.create(stock.customer, ORDER))
    record = stock.database.transact(records.get, outcome.finished.job_id, readonly=True)
    assert await service.shelf.outcome(record) == outcome
