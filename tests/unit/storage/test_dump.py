"""What `pg_dump` is given: where the database is, and of the server's environment no secret."""

import stat
from pathlib import Path

import pytest
from sqlalchemy import make_url

from photogram.storage.postgres import Postgres


def test_it_gets_the_password_and_no_other_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, seen = tmp_path / "pg_dump", tmp_path / "seen"
    program.write_text(f'#!/bin/sh\nenv > {seen}\necho "$@" >> {seen}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("PGSSLMODE", "require")
    monkeypatch.setenv("PHOTOGRAM_DATABASE_URL", "postgresql://a:canary-1@b/c")
    monkeypatch.setenv("CLOUD_SECRET", "canary-2")
    backend = Postgres(make_url("postgresql://ann:canary-3@db.example/shop"), num_connections=1)
    backend.backup(tmp_path / "copy")
    backend.close()
    told = seen.read_text()
    assert "PGPASSWORD=canary-3\n" in told
    assert "PGSSLMODE=require\n" in told
    assert "--dbname=postgresql://ann@db.example/shop" in told
    assert told.count("canary-3") == 1
    for secret in ("canary-1", "canary-2"):
        assert secret not in told
