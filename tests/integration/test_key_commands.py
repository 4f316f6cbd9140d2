"""``photogram keys``, ``admin-keys``, ``usage`` and ``audit``, as an operator types them."""

import csv
import io
import json
from pathlib import Path

import pytest

from photogram.accounts.models import Principal
from photogram.bootstrap.store import open_store
from photogram.core.settings import Settings
from photogram.generation.repository import jobs
from tests.acceptance.server import run_command
from tests.unit.storage.stocked import new_job, succeed


def _run(*words: str, data: Path, status: int = 0) -> str:
    result = run_command(*words, "--data", str(data))
    assert result.returncode == status, result.stderr
    return result.stdout if status == 0 else result.stderr


def _rows(*words: str, data: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(_run(*words, "--json", data=data))
    return rows


def test_a_key_is_made_with_rights_and_rotated(tmp_path: Path) -> None:
    limits = ("--scopes", "read, keys", "--requests-per-minute", "60", "--jobs-at-once", "4")
    more = ("--name", "=1+1", "--spend-cap", "2.5", "--expires-in", "90d")
    _run("keys", "create", "--account", "ann", *limits, *more, data=tmp_path)
    (key,) = _rows("keys", "list", data=tmp_path)
    assert key["scopes"] == ["keys", "read"]
    assert (key["requests_per_minute"], key["jobs_at_once"], key["spend_cap"]) == (60, 4, "2.5")
    assert (key["name"], key["expires_at"] is None) == ("=1+1", False)

    told = _run("keys", "rotate", str(key["key_id"]), "--overlap", "0", data=tmp_path)
    assert told.startswith("phg_live_")
    old, new = _rows("keys", "list", data=tmp_path)
    assert (new["counts_as"], new["scopes"]) == (key["key_id"], key["scopes"])
    assert str(old["expires_at"]) < str(key["expires_at"])
    assert "expired" in _run("keys", "list", data=tmp_path)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--scopes", "root"), "'root' is none of"),
        (("--requests-per-minute", "0"), "requests_per_minute must be"),
        (("--spend-cap", "lots"), "'lots' is no amount"),
        (("--expires-in", "soon"), "'soon' is no time"),
        (("--expires-in", "0"), "expires_in_s must be"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, words: tuple[str, str], told: str) -> None:
    assert told in _run("keys", "create", "--account", "ann", *words, data=tmp_path, status=2)


def test_operators_keys_and_the_journal(tmp_path: Path) -> None:
    made = json.loads(_run("admin-keys", "create", "--name", "eve", "--json", data=tmp_path))
    assert made["token"].startswith("phg_adm_")
    assert [row["key_id"] for row in _rows("admin-keys", "list", data=tmp_path)] == [made["key_id"]]
    assert "revoked" in _run("admin-keys", "revoke", made["key_id"], data=tmp_path)
    assert "revoked" in _run("admin-keys", "list", data=tmp_path)
    entries = _rows("audit", "list", data=tmp_path)
    assert [(entry["actor"], entry["action"]) for entry in entries] == [
        ("cli", "admin_key.revoke"),
        ("cli", "admin_key.create"),
    ]
    assert "admin_key.revoke" in _run("audit", "list", "--limit", "1", data=tmp_path)


def test_usage_is_a_table_or_csv_without_formulas(tmp_path: Path) -> None:
    with open_store(Settings(data=tmp_path)) as store:
        key = store.accounts.create_key("ann", name="=HYPERLINK(1)")
        store.ledger.grant(key.info.account_id, 1_000_000, actor="test")
        job = new_job(Principal(key.info.account_id, key.key_id), 250_000)
        store.database.transact(jobs.admit, job)
        store.database.transact(succeed, job.id, 250_000)
    words = ("usage", "--account", "ann", "--since", "2020-01-01", "--until", "2020-12-31")
    header = "day,account,key,key_name,jobs,images,credits,refunded\n"
    assert _run(*words, "--csv", data=tmp_path) == header
    (row,) = csv.DictReader(io.StringIO(_run("usage", "--csv", data=tmp_path)))
    assert row["key_name"] == "'=HYPERLINK(1)"
    assert (row["account"], row["jobs"], row["credits"]) == ("ann", "1", "0.25")
    assert "0.25" in _run("usage", data=tmp_path)
    assert "no account 'zoe'" in _run("usage", "--account", "zoe", data=tmp_path, status=2)
    assert "since" in _run("usage", "--since", "now", data=tmp_path, status=2)


def test_a_folder_of_another_database_is_refused(tmp_path: Path) -> None:
    _run("keys", "create", "--account", "ann", data=tmp_path)
    (tmp_path / "pepper").write_bytes(b"q" * 32)
    told = _run("keys", "list", data=tmp_path, status=2)
    assert "does not belong to this database" in told
    assert "q" * 32 not in told
