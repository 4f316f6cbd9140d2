"""Disks that fill up and files that cannot grow: no raw error, no torn transaction, no hold left."""

import asyncio
import contextlib
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from photogram.core.errors import StorageError
from photogram.engine.fake import FakeEngine
from photogram.ledger.service import LedgerService
from photogram.storage.database import Database
from photogram.storage.folder import DataFolder
from photogram.storage.sqlite import loses_wal_writes
from tests.databases import sqlite_url
from tests.unit.generation.ordering import ORDER, PRICE_MICRO, generation, until
from tests.unit.storage.stocked import Stock, open_stock

_MOUNT = shutil.which("mount") or "/bin/false"
_UNMOUNT = shutil.which("umount") or "/bin/false"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = [_MOUNT, "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(disk)]
    mounted = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run([_UNMOUNT, str(disk)], check=True)


def _fill(disk: Path) -> Path:
    """Write to the disk until nothing more fits."""
    path = disk / "filling"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return path


async def test_a_full_disk_costs_nobody_anything(small_disk: Path) -> None:
    with open_stock(sqlite_url(small_disk), amount_micro=1_000_000) as stock:
        engine = FakeEngine(step_s=0.02)
        service = generation(stock, engine)
        run = await service.create(stock.customer, ORDER)
        filling = _fill(small_disk)
        with pytest.raises(StorageError, match="is full"):
            await _use_up_the_journal(stock)
        with pytest.raises(StorageError, match="is full") as refused:
            await service.result(run)
        assert refused.value.retry_after_s is not None
        with pytest.raises(StorageError, match="is full"):
            await service.create(stock.customer, ORDER)
        assert engine.num_jobs == 0
        # Reading goes on: who asks for a balance gets it, and the sums hold.
        report = await asyncio.to_thread(stock.ledger.check)
        assert report.violations == ()
        assert report.num_open_holds == 1
        filling.unlink()
        await stock.database.ping()
        await until(lambda: stock.ledger.check().num_open_holds == 0)
        assert stock.balance() == 1_000_000
        assert (await service.result(await service.create(stock.customer, ORDER))).cost_micro
        assert stock.balance() == 1_000_000 - PRICE_MICRO
        await service.close()
        assert stock.ledger.check().is_ok


async def _use_up_the_journal(stock: Stock) -> None:
    """Write on: the journal's file may have some room that is not the disk's any more."""
    for _ in range(1_000):
        await stock.database.ping()


def _admit_many(stock: Stock) -> None:
    for _ in range(1_000):
        stock.admit(1)


def test_a_full_disk_is_told_at_the_start(small_disk: Path) -> None:
    _fill(small_disk)
    with pytest.raises(StorageError, match=r"full|cannot be"):
        Database.open(DataFolder.open(small_disk).database_url)


def test_a_file_that_may_not_grow_is_no_raw_error(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_stock(sqlite_url(tmp_path), amount_micro=1_000_000) as stock:
        resource.setrlimit(resource.RLIMIT_FSIZE, (512 * 1024, limits[1]))
        try:
            with pytest.raises(StorageError) as refused:
                _admit_many(stock)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert refused.value.retry_after_s is not None
        held = stock.ledger.check().num_open_holds
        assert held > 0
        assert stock.ledger.check().violations == ()
        assert stock.balance() == 1_000_000 - held
        stock.admit(1)


def test_a_read_only_folder_is_refused_in_words(small_disk: Path) -> None:
    subprocess.run([_MOUNT, "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageError, match="cannot be written: Read-only file system"):
        DataFolder.open(small_disk)


@pytest.mark.skipif(
    not loses_wal_writes(sqlite3.sqlite_version_info),
    reason="the interpreter's SQLite is a sound one",
)
def test_an_affected_library_leaves_wal_and_is_as_good(tmp_path: Path) -> None:
    """Two processes with the interpreter's own SQLite write at the same time."""
    path = tmp_path / "test.sqlite3"
    url = sqlite_url(tmp_path)
    with open_stock(url, amount_micro=100) as stock:  # leaves the file in WAL mode
        account_id = stock.customer.account_id
    code = (
        "import sqlite3, sys;"
        "from photogram.ledger.service import LedgerService;"
        "from photogram.storage.database import Database;"
        "database = Database.open(sys.argv[1], driver=sqlite3, patience_s=60);"
        "ledger = LedgerService(database);"
        "[ledger.grant(sys.argv[2], 7, actor='cli') for _ in range(25)]; database.close()"
    )
    argv = [sys.executable, "-c", code, url, account_id]
    environ = os.environ | {"PYTHONWARNINGS": "error"}
    writers = [subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        out, _ = writer.communicate()
        assert writer.returncode == 0
        assert b"may lose writes in WAL mode" in out
    header = path.read_bytes()[18:20]
    assert header == b"\x01\x01"  # a rollback journal; WAL would be 2, 2
    with contextlib.closing(Database.open(url)) as database:
        ledger = LedgerService(database)
        assert ledger.balance(account_id) == 100 + 2 * 25 * 7
        assert ledger.check().is_ok
