"""W1, W5, W8: the model's process is killed; its jobs are painted again, or set aside, or let go."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from photogram.generation.dispatcher import MAX_ATTEMPTS
from tests.acceptance.server import Server, is_alive, run_command, wait_until

RELOAD_S = 60.0
BODY = {"steps": 50, "output_format": "png", "seed": 11}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("data")).start()
    yield server
    server.stop()
    check = run_command("ledger", "check", "--data", str(server.data))
    assert "0 open holds" in check.stdout, check.stdout


def _ask(server: Server, key: str | None = None, **body: object) -> httpx.Response:
    headers = {"x-api-key": server.key} | ({"Idempotency-Key": key} if key else {})
    return httpx.post(
        f"{server.url}/v1/flux-dev",
        json={"prompt": "a red apple"} | body,
        headers=headers,
        timeout=120,
    )


def _credits(server: Server) -> float:
    return float(server.balance())


def _kill_worker(server: Server) -> None:
    os.kill(server.worker_pid(), signal.SIGKILL)


def _wait_until_ready(server: Server) -> None:
    def is_ready() -> bool:
        return httpx.get(f"{server.url}/readyz").status_code == 200

    assert wait_until(is_ready, RELOAD_S)


def test_an_idle_worker_that_dies_is_replaced(server: Server) -> None:
    _wait_until_ready(server)
    _kill_worker(server)
    assert wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503, 5)
    refused = _ask(server, steps=1)
    if refused.status_code != 200:  # it may be back by now
        assert (refused.status_code, refused.json()["code"]) == (503, "model_loading")
        assert int(refused.headers["retry-after"]) >= 1
    _wait_until_ready(server)
    assert _ask(server, steps=1).status_code == 200


@pytest.mark.parametrize(
    "num_kills", [2, pytest.param(10, marks=pytest.mark.faults, id="10 kills")]
)
def test_a_job_whose_worker_dies_at_any_moment_has_the_same_picture_and_one_price(
    server: Server, num_kills: int
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)  # noqa: S311 - to be repeated
    _wait_until_ready(server)
    began_at = time.monotonic()
    undisturbed = _ask(server, **BODY)
    took_s = time.monotonic() - began_at
    cost = float(undisturbed.headers["x-cost"])
    for number in range(num_kills):
        _wait_until_ready(server)
        before = _credits(server)
        timer = threading.Timer(moments.uniform(0, took_s), _kill_worker, (server,))
        timer.start()
        answer = _ask(server, key=f"{seed}-{number}", **BODY)
        timer.join()
        assert answer.status_code == 200, answer.text
        assert answer.content == undisturbed.content
        assert _credits(server) == pytest.approx(before - cost)


def test_a_request_that_ends_every_worker_is_set_aside_and_others_are_served(
    server: Server,
) -> None:
    _wait_until_ready(server)
    before = _credits(server)
    headers = {"x-api-key": server.key}
    body = {"prompt": "a red apple", "steps": 50, "samples": 4}
    accepted = httpx.post(f"{server.url}/v2/flux-dev", json=body, headers=headers)
    job_url = accepted.json()["poll_url"]
    for _ in range(MAX_ATTEMPTS):
        # The server's words for a job that the engine has begun.
        assert wait_until(lambda: _progress(job_url, headers) > 0, RELOAD_S)
        _kill_worker(server)
        assert wait_until(lambda: _progress(job_url, headers) == 0, 10)
    assert wait_until(lambda: httpx.get(job_url, headers=headers).status_code == 422, RELOAD_S)
    ended = httpx.get(job_url, headers=headers).json()
    assert ended["code"] == "poison"
    assert "not billed" in ended["error"]
    _wait_until_ready(server)
    assert _credits(server) == pytest.approx(before)
    assert _ask(server, steps=1).status_code == 200


def _progress(job_url: str, headers: dict[str, str]) -> float:
    job = httpx.get(job_url, headers=headers).json()
    return float(job.get("progress") or 0) if job["status"] == "PROCESSING" else 0.0


@pytest.mark.parametrize("moment", ["loading", "idle", "working"])
def test_a_worker_outlives_its_server_by_a_moment(tmp_path: Path, moment: str) -> None:
    server = Server(tmp_path)
    if moment == "loading":
        starting = threading.Thread(target=_start_and_lose, args=(server,))
        starting.start()
        assert wait_until(lambda: _worker_of(server) is not None, 30)
    else:
        server.start()
    worker = _worker_of(server)
    assert worker is not None
    if moment == "working":
        request = threading.Thread(target=_ask_and_lose, args=(server,))
        request.start()
        assert wait_until(lambda: server.balance() != "100")
    server.process.kill()
    assert wait_until(lambda: not is_alive(worker), 3)
    server.process.wait()
    if moment == "loading":
        starting.join()
    else:
        server.kill()
    if moment == "working":
        request.join()
    check = run_command("ledger", "check", "--data", str(tmp_path))
    assert check.returncode == 0, check.stdout


def _worker_of(server: Server) -> int | None:
    process: subprocess.Popen[str] | None = getattr(server, "process", None)
    if process is None:
        return None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    pids = children.read_text().split() if children.exists() else []
    return int(pids[0]) if pids else None


def _start_and_lose(server: Server) -> None:
    with pytest.raises(AssertionError):
        server.start()


def _ask_and_lose(server: Server) -> None:
    with pytest.raises(httpx.TransportError):
        _ask(server, **BODY)
