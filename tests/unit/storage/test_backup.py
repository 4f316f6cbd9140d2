import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from photogram.core.errors import ConfigurationError, StorageError
from photogram.ledger.service import LedgerService
from photogram.storage.database import Database
from tests.databases import sqlite_url
from tests.postgres import Cluster, programs
from tests.unit.storage.stocked import Stock, open_stock


@pytest.fixture(autouse=True)
def _clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client programs of the server that the tests start."""
    monkeypatch.setenv("PATH", str(programs()))


def test_a_sqlite_backup_is_a_database(tmp_path: Path) -> None:
    with open_stock(sqlite_url(tmp_path), amount_micro=1_000_000) as stock:
        stock.admit(300_000)
        stock.database.backup(tmp_path / "copy.sqlite3")
        stock.admit(1)
        assert stat.S_IMODE((tmp_path / "copy.sqlite3").stat().st_mode) == 0o600
        copy = Database.open(f"sqlite:///{tmp_path / 'copy.sqlite3'}")
        ledger = LedgerService(copy)
        assert ledger.balance(stock.customer.account_id) == 700_000
        assert ledger.check().violations == ()
        copy.close()


def test_a_postgresql_backup_can_be_restored(postgres: Cluster, tmp_path: Path) -> None:
    with postgres.database() as url, open_stock(url, amount_micro=1_000_000) as stock:
        stock.admit(300_000)
        stock.database.backup(tmp_path / "copy.dump")
        with postgres.empty_database() as restored:
            restore = [programs() / "pg_restore", f"--dbname={restored}", tmp_path / "copy.dump"]
            subprocess.run(restore, check=True)
            copy = Database.open(restored)
            assert LedgerService(copy).balance(stock.customer.account_id) == 700_000
            assert LedgerService(copy).check().violations == ()
            copy.close()


def test_what_is_there_is_not_overwritten(stock: Stock, tmp_path: Path) -> None:
    path = tmp_path / "copy"
    path.write_text("precious")
    with pytest.raises(StorageError, match="is there already"):
        stock.database.backup(path)
    assert path.read_text() == "precious"
    with pytest.raises(StorageError, match="No such file"):
        stock.database.backup(tmp_path / "none" / "copy")
    assert not list(tmp_path.glob(".copy*"))


def test_without_the_client_programs_it_is_told_what_to_install(
    postgres: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres.database() as url, open_stock(url) as stock:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ConfigurationError, match="pg_dump was not found"):
            stock.database.backup(tmp_path / "copy")
        failing = tmp_path / "pg_dump"
        shutil.copy(shutil.which("false", path="/bin:/usr/bin") or "/bin/false", failing)
        with pytest.raises(StorageError, match="pg_dump failed"):
            stock.database.backup(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
