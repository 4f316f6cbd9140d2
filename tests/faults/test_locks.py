"""L11, L12: another process keeps SQLite locked; and a SQLite that may lose writes in WAL mode."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pysqlite3
import pytest

from photogram.storage.sqlite import loses_wal_writes
from tests.acceptance.server import wait_until
from tests.faults.deployment import Deployment, deployed

NUM_CALLERS = 20
PATIENCE_S = 5.0


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path / "place", None) as opened:
        yield opened


class _Lock:
    """Holds the database as an operator's forgotten shell would."""

    def __init__(self, deployment: Deployment) -> None:
        path = deployment.data / "photogram.sqlite3"
        self._connection = pysqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, *error: object) -> None:
        self._connection.execute("ROLLBACK")
        self._connection.close()


def _num_threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def test_a_lock_of_three_seconds_costs_time_alone(deployment: Deployment) -> None:
    server = deployment.start()
    assert deployment.ask(server.url, 0, key="0").status_code == 200
    with ThreadPoolExecutor(NUM_CALLERS) as callers:
        with _Lock(deployment):
            asked = [
                callers.submit(deployment.ask, server.url, number, key=str(number))
                for number in range(NUM_CALLERS)
            ]
            time.sleep(3)
        answers = [each.result() for each in asked]
    assert {answer.status_code for answer in answers} == {200}, [each.text for each in answers]
    deployment.prove(server)


@pytest.mark.faults
@pytest.mark.parametrize("held_s", [12, 30])
def test_a_longer_lock_is_told_and_piles_nothing_up(deployment: Deployment, held_s: int) -> None:
    server = deployment.start()
    assert deployment.ask(server.url, 0, key="0").status_code == 200
    num_threads = _num_threads(server.popen.pid)
    answers: list[httpx.Response] = []
    is_over = threading.Event()

    def ask(caller: int) -> None:
        number = caller
        while not is_over.is_set():
            answers.append(deployment.ask(server.url, number, key=str(number)))
            number += NUM_CALLERS

    with ThreadPoolExecutor(NUM_CALLERS) as callers:
        with _Lock(deployment):
            asked = [callers.submit(ask, caller) for caller in range(NUM_CALLERS)]
            time.sleep(held_s)
            assert _num_threads(server.popen.pid) <= num_threads + 8
        is_over.set()
        for each in asked:
            each.result()
    codes = {answer.status_code for answer in answers}
    assert codes <= {200, 503}, [
        each.text for each in answers if each.status_code not in (200, 503)
    ]
    assert 503 in codes
    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.json()["code"] for answer in refused} <= {"storage_unavailable"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    longest_s = max(answer.elapsed.total_seconds() for answer in refused)
    print(f"{len(refused)} refusals, the longest after {longest_s:.1f} s")
    assert wait_until(server.is_ready, 10)
    for number in range(5):
        answer = deployment.ask_until_answered(lambda: server.url, number, str(number))
        assert answer.status_code == 200
    deployment.prove(server, unbilled=("storage_unavailable",))


@pytest.mark.skipif(
    not loses_wal_writes(sqlite3.sqlite_version_info),
    reason="the interpreter's SQLite is a sound one",
)
def test_a_server_with_an_affected_library_says_so_and_is_as_safe(deployment: Deployment) -> None:
    affected = "tests.faults.affected"
    first = deployment.start("write.after", module=affected)
    assert "may lose writes in WAL mode" in first.log.read_text()
    with pytest.raises(httpx.TransportError):
        deployment.ask(first.url, 7, key="mine")
    first.wait_until_dead()
    header = (deployment.data / "photogram.sqlite3").read_bytes()[18:20]
    assert header == b"\x01\x01"  # a rollback journal; WAL would be 2, 2
    second = deployment.start(module=affected)
    answer = deployment.ask_until_answered(lambda: second.url, 7, "mine")
    assert answer.status_code == 200
    assert second.stop() == 0
    third = deployment.start()  # the sound library again
    assert deployment.ask(third.url, 7, key="mine").content == answer.content
    deployment.prove(third)
