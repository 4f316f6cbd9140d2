"""L13: PostgreSQL restarts under load, in order, as after a crash, or is away for a minute."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.server import wait_until
from tests.faults.deployment import Deployment, deployed
from tests.postgres import Cluster

RATE = 20
"""Requests per second."""

LIMITS = {"PHOTOGRAM_JOBS_PER_ACCOUNT": "1000", "PHOTOGRAM_QUEUE_LIMIT": "1000"}
"""One account's clients all wait while the database is away; its own limit is not what is proved."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Deployment, Cluster]]:
    with (
        Cluster.running("fsync=on") as cluster,
        cluster.database() as url,
        deployed(tmp_path / "place", url, env=LIMITS) as deployment,
    ):
        yield deployment, cluster


class _Load:
    """New requests at a fixed rate, each with a key of its own."""

    def __init__(self, deployment: Deployment, url: str) -> None:
        self.answers: dict[str, httpx.Response] = {}
        self.broken: list[Exception] = []
        self._deployment, self._url = deployment, url
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._pacer = threading.Thread(target=self._pace)

    def __enter__(self) -> "_Load":
        self._pacer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._pacer.join()
        for thread in self._threads:
            thread.join()

    def _pace(self) -> None:
        number = 0
        while not self._is_over.wait(1 / RATE):
            self._threads.append(threading.Thread(target=self._ask, args=(number,)))
            self._threads[-1].start()
            number += 1

    def _ask(self, number: int) -> None:
        key = f"load-{number}"
        try:
            self.answers[key] = self._deployment.ask(self._url, number, key=key)
        except httpx.HTTPError as error:
            self.broken.append(error)


@pytest.mark.parametrize(
    ("how", "away_s"),
    [
        pytest.param(signal.SIGINT, 0.0, id="fast", marks=pytest.mark.faults),
        pytest.param(signal.SIGQUIT, 0.0, id="immediate", marks=pytest.mark.faults),
        pytest.param(signal.SIGQUIT, 10.0, id="10s", marks=pytest.mark.faults),
        pytest.param(signal.SIGQUIT, 60.0, id="60s", marks=pytest.mark.faults),
    ],
)
def test_a_database_that_restarts_costs_refusals_alone(
    place: tuple[Deployment, Cluster], how: signal.Signals, away_s: float
) -> None:
    deployment, cluster = place
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    server = deployment.start()
    with _Load(deployment, server.url) as load:
        time.sleep(random.Random(seed).uniform(0.5, 1.5))  # noqa: S311 - to be repeated
        cluster.stop(how)
        time.sleep(away_s)
        cluster.start("fsync=on")
        up_from = time.monotonic()
        assert wait_until(server.is_ready, 15)
        back_s = time.monotonic() - up_from
        time.sleep(1)
    codes = Counter(answer.status_code for answer in load.answers.values())
    print(f"{dict(codes)}, ready {back_s:.1f} s after the database")
    assert load.broken == []
    assert set(codes) <= {200, 503}, [
        each.text for each in load.answers.values() if each.status_code not in (200, 503)
    ]
    assert all(
        "retry-after" in each.headers for each in load.answers.values() if each.status_code == 503
    )
    for number, key in ((number, f"load-{number}") for number in range(len(load.answers))):
        again = deployment.ask_until_answered(lambda: server.url, number, key)
        assert again.status_code == 200, again.text
        if load.answers[key].status_code == 200:
            assert again.headers["idempotency-replayed"] == "true"
            assert again.content == load.answers[key].content
    deployment.prove(server, unbilled=("storage_unavailable", "storage_outcome_unknown"))
    paid = deployment.rows("SELECT job_id FROM transfer WHERE phase = 'post'")
    assert len(paid) == len(load.answers)
