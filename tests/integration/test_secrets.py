"""Secrets that are planted in a real server never come out in its log."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from photogram.core.errors import StorageError
from photogram.storage.database import Database
from tests.integration.planted import WEBHOOK_SECRET
from tests.postgres import Cluster
from tests.unit.storage.stocked import execute

PASSWORD = "canary-of-the-database"


@pytest.mark.parametrize("engine", ["whole", "broken"])
def test_no_request_leaves_a_secret_in_the_log(tmp_path: Path, engine: str) -> None:
    words = [sys.executable, "-m", "tests.integration.planted", str(tmp_path / "data"), engine]
    life = subprocess.run(words, capture_output=True, text=True, check=False)
    assert life.returncode == 0, life.stderr[-2000:]
    told = json.loads(life.stdout)
    written = life.stderr + told["journal"]
    assert '"event": "request"' in written
    assert ("ZeroDivisionError" in written) is (engine == "broken")
    assert len(told["tokens"]) == 5
    for token in told["tokens"]:
        assert token.startswith("phg_")
        assert token.rsplit("_", 1)[1] not in written
    for secret in (WEBHOOK_SECRET, WEBHOOK_SECRET.removeprefix("whsec_"), *told["pepper"]):
        assert secret not in written


def test_the_databases_password_is_not_in_the_log(postgres: Cluster) -> None:
    told = ""
    with structlog.testing.capture_logs() as events, postgres.database() as url:
        database = Database.open(url.replace("photogram@", f"photogram:{PASSWORD}@"))
        told += database.describe()
        for statement in ("SELECT nothing", "SELECT pg_terminate_backend(pg_backend_pid())"):
            with pytest.raises(StorageError):
                database.transact(execute, statement)
        database.close()
    for words in (f"a:{PASSWORD}@/b?host=/nowhere", f"/b?host=/nowhere&password={PASSWORD}"):
        with pytest.raises(StorageError) as refused:
            Database.open(f"postgresql://{words}")
        told += refused.value.message
    assert "the database refused a transaction" in repr(events)
    assert PASSWORD not in told + repr(events)
