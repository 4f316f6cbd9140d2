import asyncio
import os
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, TableClause, func, select, text

from photogram.core import clock
from photogram.core.errors import NotFoundError
from photogram.engine.fake import FakeEngine
from photogram.generation.repository import answers, records, servers
from photogram.generation.retention import Retention
from photogram.storage.blobs import new_blob_name
from tests.unit.generation.ordering import ORDER, generation, keyed, order, until
from tests.unit.storage.stocked import Stock, execute


def _files(stock: Stock) -> set[str]:
    return {name for name, _ in stock.blobs.names()}


def _make_old(stock: Stock, *names: str) -> None:
    then = (clock.now() - timedelta(hours=2)).timestamp()
    for name in names:
        os.utime(Path(stock.blobs._path, name), (then, then))


def _touch(stock: Stock, *names: str) -> None:
    for name in names:
        Path(stock.blobs._path, name).touch()


def _sweep(stock: Stock) -> None:
    Retention(stock.database, stock.blobs).sweep()


async def _job(stock: Stock, key: str = "key") -> tuple[str, str]:
    """A job that has succeeded, and its file."""
    service = generation(stock, FakeEngine())
    run = await service.create(stock.customer, ORDER, terms=keyed(key))
    outcome = await service.result(run)
    return run.job_id, outcome.files[0].file_name


async def test_pictures_stay_for_their_time_and_are_then_removed(stock: Stock) -> None:
    job_id, file_name = await _job(stock)
    _, kept = await _job(stock, "another")
    _make_old(stock, file_name, kept)
    _sweep(stock)
    assert _files(stock) == {file_name, kept}
    stock.database.transact(_expire_pictures_of, job_id)
    _sweep(stock)
    assert _files(stock) == {kept}
    record = stock.database.transact(records.get, job_id, readonly=True)
    assert record.images[0].file_name == file_name
    service = generation(stock, FakeEngine())
    with pytest.raises(NotFoundError):
        await service.shelf.outcome(record)


async def test_a_file_that_no_job_knows_is_removed_once_it_is_old(stock: Stock) -> None:
    _, known = await _job(stock)
    old, young = new_blob_name("png"), new_blob_name("png")
    stock.blobs.write({old: b"old", young: b"young"})
    draft = f"{'c' * 32}.part"
    _touch(stock, draft)
    _make_old(stock, known, old, draft)
    _sweep(stock)
    assert _files(stock) == {known, young}


async def test_many_files_are_removed_in_parts(stock: Stock) -> None:
    service = generation(stock, FakeEngine())
    run = await service.create(stock.customer, order(num_images=4))
    await service.result(run)
    strays = [new_blob_name("png") for _ in range(1_100)]
    _touch(stock, *strays)
    _make_old(stock, *strays)
    _sweep(stock)
    assert len(_files(stock)) == 4


async def test_keys_are_forgotten_after_a_day(stock: Stock) -> None:
    job_id, _ = await _job(stock)
    find = (answers.find, stock.customer.account_id, keyed().idempotency)
    _sweep(stock)
    assert stock.database.transact(*find, readonly=True) == job_id
    stock.database.transact(execute, "UPDATE idempotency SET expires_at = '2020-01-01 00:00:00'")
    _sweep(stock)
    assert stock.database.transact(*find, readonly=True) is None
    assert stock.database.transact(_count, "idempotency", readonly=True) == 0


async def test_what_was_asked_for_is_forgotten_but_not_that_it_was(stock: Stock) -> None:
    job_id, _ = await _job(stock)
    _sweep(stock)
    assert stock.database.transact(records.get, job_id, readonly=True).order == ORDER
    stock.database.transact(execute, "UPDATE job SET finished_at = '2020-01-01 00:00:00'")
    _sweep(stock)
    record = stock.database.transact(records.get, job_id, readonly=True)
    assert record.order is None
    assert record.figures is not None
    assert stock.job(job_id) == ("succeeded", None)


async def test_servers_are_forgotten_that_no_job_names(stock: Stock) -> None:
    await _job(stock)
    stock.database.transact(servers.register, "long-gone", timedelta(days=-2))
    stock.database.transact(servers.register, "just-gone", timedelta(hours=-2))
    before = stock.database.transact(_count, "server", readonly=True)
    _sweep(stock)
    assert stock.database.transact(_count, "server", readonly=True) == before - 1
    stock.database.transact(execute, "UPDATE server SET lease_until = '2020-01-01 00:00:00'")
    _sweep(stock)
    assert stock.database.transact(_count, "server", readonly=True) == 1


async def test_a_sweep_that_fails_is_made_good_by_the_next(stock: Stock) -> None:
    _, file_name = await _job(stock)
    stock.database.transact(execute, "UPDATE image SET expires_at = '2020-01-01 00:00:00'")
    stock.database.transact(execute, "ALTER TABLE image RENAME COLUMN removed_at TO gone")
    watching = asyncio.create_task(Retention(stock.database, stock.blobs).watch(interval_s=0.05))
    await asyncio.sleep(0.2)
    assert file_name in _files(stock)
    stock.database.transact(execute, "ALTER TABLE image RENAME COLUMN gone TO removed_at")
    await until(lambda: not _files(stock))
    watching.cancel()
    await asyncio.wait({watching})


def _expire_pictures_of(connection: Connection, job_id: str) -> None:
    query = text("UPDATE image SET expires_at = '2020-01-01 00:00:00' WHERE job_id = :job_id")
    connection.execute(query, {"job_id": job_id})


def _count(connection: Connection, table: str) -> int:
    query = select(func.count()).select_from(TableClause(table))
    return int(connection.execute(query).scalar_one())
