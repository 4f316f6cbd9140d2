"""H5, H6, H7, L2, L3: clients that hang up, hurry, or come all at once; and a server that leaves."""

import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from photogram.ledger.service import LedgerService
from photogram.storage.database import Database
from tests.acceptance.server import Server, run_command, wait_until
from tests.faults.deployment import Deployment, deployed, of_url


@pytest.fixture
def deployment(database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path / "place", of_url(database_url)) as opened:
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real command with the embedded model."""
    server = Server(tmp_path_factory.mktemp("data")).start()
    yield server
    server.stop()
    check = run_command("ledger", "check", "--data", str(server.data))
    assert "0 open holds" in check.stdout, check.stdout


def _send(url: str, key: str, body: dict[str, object], **headers: str) -> socket.socket:
    """A request on a socket of its own, whose answer is not read."""
    place = urlsplit(url)
    opened = socket.create_connection((place.hostname or "", place.port or 0), timeout=60)
    content = json.dumps({"prompt": "a red fox"} | body)
    lines = [
        "POST /v1/flux-dev HTTP/1.1",
        f"host: {place.netloc}",
        f"x-api-key: {key}",
        "content-type: application/json",
        f"content-length: {len(content)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    opened.sendall(("\r\n".join(lines) + "\r\n\r\n" + content).encode())
    return opened


def _reset(opened: socket.socket) -> None:
    """Hang up without a word: RST."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    opened.close()


def _num_holds(server: Server) -> int:
    with_database = Database.open(f"sqlite:///{server.data / 'photogram.sqlite3'}")
    try:
        return LedgerService(with_database).check().num_open_holds
    finally:
        with_database.close()


# --- H5: who hangs up -----------------------------------------------------------------------------


def test_who_hangs_up_while_his_job_waits_or_runs_owes_nothing(server: Server) -> None:
    """Of many more jobs than are painted at a time, all are given up, in any order."""
    before = server.balance()
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    opened = [_send(server.url, server.key, {"steps": 50, "samples": 4}) for _ in range(24)]
    assert wait_until(lambda: _num_holds(server) == 24)
    random.Random(seed).shuffle(opened)  # noqa: S311 - to be repeated
    hung_up_from = time.monotonic()
    for each in opened:
        _reset(each)
    assert wait_until(lambda: _num_holds(server) == 0, 20)
    print(f"24 holds released {time.monotonic() - hung_up_from:.2f} s after the clients left")
    painted = server.generate(steps=1)
    assert painted.status_code == 200
    cost = float(painted.headers["x-cost"])
    assert float(before) - float(server.balance()) == pytest.approx(cost)


def test_who_hangs_up_while_the_answer_is_sent_finds_it_again(server: Server) -> None:
    before = float(server.balance())
    body: dict[str, object] = {"steps": 2, "samples": 4, "output_format": "png", "seed": 5}
    names = {"idempotency_key": "half", "x_request_id": "half-read", "accept": "application/json"}
    opened = _send(server.url, server.key, body, **names)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    assert opened.recv(200).startswith(b"HTTP/1.1 200")
    _reset(opened)
    cost = before - float(server.balance())
    assert cost > 0
    headers = {"x-api-key": server.key, "accept": "application/json", "idempotency-key": "half"}
    again = httpx.post(
        f"{server.url}/v1/flux-dev", json={"prompt": "a red fox"} | body, headers=headers
    )
    assert again.status_code == 200
    assert again.headers["idempotency-replayed"] == "true"
    assert len(again.json()["images"]) == 4
    found = httpx.get(f"{server.url}/v1/requests/half-read", headers=headers)
    assert found.status_code == 200
    assert len(found.json()["images"]) == 4
    assert before - float(server.balance()) == pytest.approx(cost)


# --- H6: who is in a hurry ------------------------------------------------------------------------


def test_a_deadline_that_cannot_be_met_costs_nothing(server: Server) -> None:
    before = server.balance()
    busy = [_send(server.url, server.key, {"steps": 50, "samples": 4}) for _ in range(12)]
    assert wait_until(lambda: _num_holds(server) == 12)
    headers = {"x-api-key": server.key, "prefer": "wait=1"}
    answers = [
        httpx.post(
            f"{server.url}/v1/flux-dev",
            json={"prompt": "a red fox", "steps": 50, "samples": 4},
            headers=headers,
            timeout=60,
        )
        for _ in range(3)
    ]
    for answer in answers:
        refusal = (answer.status_code, answer.json()["code"])
        assert refusal in {(503, "queue_full"), (504, "timeout")}, answer.text
        assert answer.elapsed.total_seconds() < 10
    for each in busy:
        _reset(each)
    assert wait_until(lambda: _num_holds(server) == 0, 20)
    assert server.balance() == before


# --- H7: a server that leaves ---------------------------------------------------------------------


def test_a_server_that_leaves_under_load_loses_nothing(deployment: Deployment) -> None:
    """Who waits has his picture; what nobody waits for and is too long is the next server's."""
    deployment.step_s = 0.1
    deployment.env["PHOTOGRAM_DRAIN_TIMEOUT_S"] = "4"
    server = deployment.start()
    long_ids = [
        deployment.ask(server.url, number, path="/v2/flux-dev", steps=50).json()["request_id"]
        for number in range(3)
    ]
    with ThreadPoolExecutor(20) as callers:
        asked = [
            callers.submit(deployment.ask, server.url, number, key=str(number), steps=10)
            for number in range(10)
        ]
        unkeyed = [
            callers.submit(deployment.ask, server.url, number, steps=10) for number in range(10)
        ]
        assert wait_until(lambda: len(deployment.rows("SELECT id FROM job")) == 23)
        told_from = time.monotonic()
        server.popen.terminate()
        assert wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503, 2)
        refused = deployment.ask(server.url, 99)
        assert (refused.status_code, refused.json()["code"]) == (503, "draining")
        assert int(refused.headers["retry-after"]) >= 1
        codes = Counter(each.result().status_code for each in asked + unkeyed)
    assert codes == {200: 20}
    assert server.wait_until_dead() == 0
    print(f"ended {time.monotonic() - told_from:.1f} s after SIGTERM")
    assert time.monotonic() - told_from < 4 + 5
    second = deployment.start()
    for job_id in long_ids:
        ended = deployment.wait_for_job(second.url, job_id)
        assert ended.json()["status"] == "COMPLETED", ended.text
    attempts = deployment.rows("SELECT DISTINCT attempt FROM job")
    assert [row.attempt for row in attempts] == [1]
    deployment.prove(second)


def test_a_second_signal_ends_a_server_at_once(deployment: Deployment) -> None:
    deployment.step_s = 0.5
    server = deployment.start()
    job_id = deployment.ask(server.url, 1, path="/v2/flux-dev", steps=50).json()["request_id"]
    waiting = threading.Thread(target=deployment.ask, args=(server.url, 2), kwargs={"steps": 50})
    waiting.start()
    assert wait_until(lambda: len(deployment.rows("SELECT id FROM job")) == 2)
    server.popen.terminate()
    assert wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503, 2)
    told_from = time.monotonic()
    server.popen.terminate()
    assert server.wait_until_dead() == 0
    print(f"ended {time.monotonic() - told_from:.1f} s after the second signal")
    assert time.monotonic() - told_from < 3
    waiting.join()
    deployment.step_s = 0.01
    second = deployment.start()
    assert deployment.wait_for_job(second.url, job_id).json()["status"] == "COMPLETED"
    deployment.prove(second, unbilled=("draining",))


# --- L2, L3: all at once --------------------------------------------------------------------------


def test_of_64_who_race_for_ten_pictures_ten_have_one(deployment: Deployment) -> None:
    server = deployment.start(PHOTOGRAM_FIRST_CREDITS="0.047")  # one costs 0.004511
    with ThreadPoolExecutor(64) as callers:
        answers = list(callers.map(lambda seed: deployment.ask(server.url, seed), range(64)))
    codes = Counter(answer.status_code for answer in answers)
    assert codes == {200: 10, 406: 54}
    with deployment.database() as database:
        assert LedgerService(database).check().violations == ()
    left = deployment.get(server.url, "/v1/get-user-credits").json()
    assert left["credits"] == pytest.approx(0.047 - 10 * 0.004511)


def test_fifty_with_one_key_are_one_job(deployment: Deployment) -> None:
    server = deployment.start()
    with ThreadPoolExecutor(50) as callers:
        answers = list(callers.map(lambda _: deployment.ask(server.url, 7, key="mine"), range(50)))
    codes = Counter(answer.status_code for answer in answers)
    print(f"50 at once with one key: {dict(codes)}")
    assert set(codes) <= {200, 409}
    assert codes[200] >= 1
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {
        "idempotency_conflict"
    }
    again = deployment.ask(server.url, 7, key="mine")
    assert again.headers["idempotency-replayed"] == "true"
    assert {each.content for each in answers if each.status_code == 200} == {again.content}
    assert deployment.ask(server.url, 8, key="mine").status_code == 409
    assert len(deployment.rows("SELECT id FROM job")) == 1
    deployment.prove(server)
