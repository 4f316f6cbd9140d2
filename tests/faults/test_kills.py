"""L4, L5: a server that is killed anywhere in a job's life; the client asks again, and has it all.

Whatever was acknowledged is there, whoever asks again gets the same picture, and it is paid for
once.
"""

import hashlib
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.deployment import Deployment, deployed, of_url
from tests.faults.points import LIFE, RECOVERY

SOME_POINTS = ("admit.inside", "submit", "write.draft", "write.after", "succeed.inside")
NUM_RANDOM_KILLS = 40


@pytest.fixture
def deployment(database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path / "place", of_url(database_url)) as opened:
        yield opened


def _cases() -> list[object]:
    """A few points on SQLite in every run; all on both databases when asked for."""
    return [
        pytest.param(point, marks=() if point in SOME_POINTS else pytest.mark.faults)
        for point in LIFE
    ]


def _ask_and_lose(deployment: Deployment, url: str, seed: int, **how: str) -> None:
    with pytest.raises(httpx.TransportError):
        deployment.ask(url, seed, **how)


@pytest.mark.parametrize("point", _cases())
def test_a_request_with_a_key_survives_a_kill(deployment: Deployment, point: str) -> None:
    first = deployment.start(point)
    _ask_and_lose(deployment, first.url, 7, key="mine")
    first.wait_until_dead()
    deployment.end_leases_of_the_dead()
    second = deployment.start()
    answer = deployment.ask_until_answered(lambda: second.url, 7, "mine")
    assert answer.status_code == 200, answer.text
    again = deployment.ask(second.url, 7, key="mine")
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == answer.content
    assert again.headers["x-cost"] == answer.headers["x-cost"]
    deployment.prove(second)
    assert len(deployment.rows("SELECT id FROM job WHERE state = 'succeeded'")) == 1
    if point == "succeed.after":
        assert answer.headers["idempotency-replayed"] == "true"


@pytest.mark.faults
@pytest.mark.parametrize("point", LIFE)
def test_a_job_that_nobody_waits_for_survives_a_kill(deployment: Deployment, point: str) -> None:
    """It was acknowledged, or it never was."""
    first = deployment.start(point)
    job_id: str | None = None
    try:
        accepted = deployment.ask(first.url, 7, path="/v2/flux-dev")
        job_id = accepted.json()["request_id"]
    except httpx.TransportError:
        assert point.startswith(("admit", "submit", "start", "progress"))
    first.wait_until_dead()
    deployment.end_leases_of_the_dead()
    second = deployment.start()
    if job_id is not None:
        ended = deployment.wait_for_job(second.url, job_id)
        assert ended.json()["status"] == "COMPLETED", ended.text
        picture = httpx.get(ended.json()["output"])
        assert picture.status_code == 200
        (row,) = deployment.rows("SELECT sha256 FROM image")
        assert hashlib.sha256(picture.content).hexdigest() == row.sha256
    deployment.prove(second)
    assert len(deployment.rows("SELECT id FROM job WHERE state = 'succeeded'")) <= 1


@pytest.mark.faults
@pytest.mark.parametrize("point", LIFE)
def test_a_request_without_a_key_costs_nothing_after_a_kill(
    deployment: Deployment, point: str
) -> None:
    first = deployment.start(point)
    _ask_and_lose(deployment, first.url, 7)
    first.wait_until_dead()
    deployment.end_leases_of_the_dead()
    second = deployment.start()
    deployment.prove(second)
    states = [row.state for row in deployment.rows("SELECT state FROM job")]
    if point == "succeed.after":  # it was paid for: the account finds it in its list
        assert states == ["succeeded"]
    else:
        assert states == ([] if point in ("admit.before", "admit.inside") else ["failed"])


@pytest.mark.faults
@pytest.mark.parametrize("point", RECOVERY)
def test_a_server_killed_while_it_takes_over_leaves_all_to_the_next(
    deployment: Deployment, point: str
) -> None:
    first = deployment.start("started", visits=3)
    threads = [
        threading.Thread(target=_ask_and_lose, args=(deployment, first.url, seed), kwargs=how)
        for seed, how in ((1, {"key": "one"}), (2, {"key": "two"}), (3, {}))
    ]
    for thread in threads:
        thread.start()
    first.wait_until_dead()
    for thread in threads:
        thread.join()
    deployment.end_leases_of_the_dead()
    second = deployment.start(point)
    second.wait_until_dead()
    deployment.end_leases_of_the_dead()
    third = deployment.start()
    for seed, key in ((1, "one"), (2, "two")):
        answer = deployment.ask_until_answered(lambda: third.url, seed, key)
        assert answer.status_code == 200, answer.text
    deployment.prove(third)


# --- at any moment --------------------------------------------------------------------------------


class _Client(threading.Thread):
    """Asks for one picture after the other, each until it has it, and keeps what it was told."""

    def __init__(self, deployment: Deployment, number: int, urls: list[str]) -> None:
        super().__init__()
        self.deployment, self.number, self.urls = deployment, number, urls
        self.is_over = threading.Event()
        self.pictures: dict[tuple[int, str], bytes] = {}
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.is_over.is_set():
                count = len(self.pictures)
                seed, key = 1000 * self.number + count, f"client-{self.number}-{count}"
                answer = self.deployment.ask_until_answered(lambda: self.urls[-1], seed, key, 900)
                if answer.status_code == 500 and answer.json()["code"] == "poison":
                    continue  # it was under way at two kills; it may be asked for again
                assert answer.status_code == 200, answer.text
                self.pictures[seed, key] = answer.content
        except BaseException as failure:  # noqa: BLE001 - told by the test
            self.failure = failure


@pytest.mark.faults
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("num_kills", [6, NUM_RANDOM_KILLS])
def test_kills_at_any_moment_lose_nothing(deployment: Deployment, num_kills: int) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)  # noqa: S311 - to be repeated
    server = deployment.start()
    urls = [server.url]
    clients = [_Client(deployment, number, urls) for number in range(4)]
    for client in clients:
        client.start()
    try:
        for _ in range(num_kills):
            time.sleep(moments.uniform(0.0, 1.5))
            server.kill()
            deployment.end_leases_of_the_dead()
            began_at = time.monotonic()
            server = deployment.start()
            urls.append(server.url)
            print(f"back after {time.monotonic() - began_at:.1f} s")
    finally:
        for client in clients:
            client.is_over.set()
        for client in clients:
            client.join()
    assert [client.failure for client in clients] == [None] * 4
    deployment.prove(server, unbilled=("poison",))
    pictures = {key: each for client in clients for key, each in client.pictures.items()}
    assert len(pictures) >= num_kills
    for (number, key), picture in pictures.items():
        again = deployment.ask(server.url, number, key=key)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.content == picture
    paid = deployment.rows("SELECT job_id FROM transfer WHERE phase = 'post'")
    assert len(paid) == len(pictures)
