"""``photogram db``, and the commands that move credits, as an operator types them."""

import contextlib
import json
from pathlib import Path

import pytest
from pysqlite3 import dbapi2

from photogram.storage.folder import DataFolder
from tests.acceptance.server import run_command
from tests.postgres import programs

FIRST = Path(__file__).parents[1] / "unit" / "storage" / "first_schema.sql"


def _run(*words: str, status: int = 0) -> str:
    """What the command prints; on stderr, where it fails."""
    result = run_command(*words)
    assert result.returncode == status, result.stderr
    return result.stdout if status == 0 else result.stdout + result.stderr


@pytest.fixture
def data(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A data folder, and for PostgreSQL a setting that names the database."""
    if database_url.startswith("postgresql"):
        monkeypatch.setenv("PHOTOGRAM_DATABASE_URL", database_url)
        monkeypatch.setenv("PATH", str(programs()))
    return str(tmp_path / "data")


def test_credits_are_granted_once_per_reference_and_in_both_kinds(data: str) -> None:
    key = json.loads(_run("keys", "create", "--account", "ann", "--data", data, "--json"))
    assert key["account"] == "ann"
    grant = ("credits", "grant", "ann", "--data", data)
    for _ in range(2):
        assert "'ann' has 2.5" in _run(*grant, "2.5", "--reference", "invoice-7")
    assert "'ann' has 3.5" in _run(*grant, "1", "--free", "--reason", "welcome")
    assert _run("credits", "balance", "ann", "--data", data).strip() == "3.5"
    refund = ("credits", "refund", "x", "--reason", "blurred", "--data", data)
    assert "there is no job 'x'" in _run(*refund, status=2)
    assert "2 transfers" in _run("ledger", "check", "--data", data)


def test_a_database_is_checked_and_backed_up(data: str, tmp_path: Path) -> None:
    _run("keys", "create", "--account", "ann", "--data", data)
    assert "nothing is wrong" in _run("db", "check", "--data", data)
    assert "up to date" in _run("db", "upgrade", "--data", data)
    copy = tmp_path / "copy"
    assert "Wrote" in _run("db", "backup", str(copy), "--data", data)
    assert copy.stat().st_size > 1_000
    assert "is there already" in _run("db", "backup", str(copy), "--data", data, status=1)


def test_damage_is_told(tmp_path: Path) -> None:
    _run("keys", "create", "--account", "ann", "--data", str(tmp_path))
    path = DataFolder(tmp_path).database_path
    with contextlib.closing(dbapi2.connect(path)) as connection:
        connection.execute("DROP TRIGGER transfer_never_goes")
    told = _run("db", "check", "--data", str(tmp_path), status=1)
    assert told == "the guard transfer_never_goes is missing\n"


def test_a_mistyped_folder_is_told(tmp_path: Path) -> None:
    told = _run("db", "check", "--data", str(tmp_path / "nothing"), status=2)
    assert "no server has used" in told
    assert not (tmp_path / "nothing").exists()


def test_an_older_database_is_upgraded_when_no_server_runs(tmp_path: Path) -> None:
    folder = DataFolder.open(tmp_path)
    with contextlib.closing(dbapi2.connect(folder.database_path)) as connection:
        connection.executescript(FIRST.read_text())
    told = _run("ledger", "check", "--data", str(tmp_path), status=1)
    assert "run `photogram db upgrade`" in told
    folder.lock()
    assert "another server" in _run("db", "upgrade", "--data", str(tmp_path), status=2)
    folder.close()
    assert "up to date" in _run("db", "upgrade", "--data", str(tmp_path))
    assert "14 transfers, 2 open holds" in _run("ledger", "check", "--data", str(tmp_path))
