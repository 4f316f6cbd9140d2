"""L7: two servers on one PostgreSQL; one is stopped for longer than its lease, and comes back."""

import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.server import wait_until
from tests.faults.deployment import Deployment, deployed
from tests.postgres import Cluster

# So long it takes at most until a second server has what a stopped one had.
TAKEN_S = 30.0


@pytest.fixture
def deployment(postgres: Cluster, tmp_path: Path) -> Iterator[Deployment]:
    with postgres.database() as url, deployed(tmp_path / "place", url, step_s=0.1) as opened:
        yield opened


@pytest.mark.parametrize(
    "point",
    [
        "succeed.before",
        *(
            pytest.param(each, marks=pytest.mark.faults)
            for each in ("progress", "write.renamed", "succeed.inside", "start.inside")
        ),
    ],
)
def test_a_server_that_comes_back_finds_its_job_done(deployment: Deployment, point: str) -> None:
    stopped = deployment.start(point, stops=True)
    other_data = deployment.folder / "other-data"
    other_data.mkdir(mode=0o700)
    shutil.copy(deployment.data / "pepper", other_data / "pepper")
    beside = deployment.start(data=other_data)
    answers: list[httpx.Response] = []
    asking = threading.Thread(
        target=lambda: answers.append(deployment.ask(stopped.url, 7, key="mine"))
    )
    asking.start()
    assert wait_until(lambda: _state(stopped.popen.pid) == "T")
    waited_from = time.monotonic()
    answer = deployment.ask_until_answered(lambda: beside.url, 7, "mine", TAKEN_S)
    assert answer.status_code == 200, answer.text
    print(f"taken over and painted after {time.monotonic() - waited_from:.1f} s")
    files = {path.name for path in deployment.results.iterdir() if path.suffix != ".part"}

    stopped.send(signal.SIGCONT)
    asking.join()
    # It had no picture of its own to give, or gave the other's again: nothing was billed twice.
    assert answers[0].status_code in (200, 500, 503), answers[0].text
    if answers[0].status_code == 200:
        assert answers[0].content == answer.content
    again = deployment.ask_until_answered(lambda: stopped.url, 7, "mine")
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == answer.content
    known = deployment.rows("SELECT file_name FROM image")
    assert len(known) == 1
    left = {path.name for path in deployment.results.iterdir() if path.name != "database"}
    assert left == {known[0].file_name}, (files, left)
    (job,) = deployment.rows("SELECT state, fence FROM job")
    assert (job.state, job.fence) == ("succeeded", 2)
    deployment.prove(stopped)
    deployment.prove(beside)


@pytest.mark.faults
def test_a_server_that_is_killed_is_followed_within_its_lease(deployment: Deployment) -> None:
    """Nobody shortens the lease here."""
    killed = deployment.start("progress")
    other_data = deployment.folder / "other-data"
    other_data.mkdir(mode=0o700)
    shutil.copy(deployment.data / "pepper", other_data / "pepper")
    beside = deployment.start(data=other_data)
    with pytest.raises(httpx.TransportError):
        deployment.ask(killed.url, 7, key="mine")
    began_at = time.monotonic()
    answer = deployment.ask_until_answered(lambda: beside.url, 7, "mine", TAKEN_S)
    assert answer.status_code == 200, answer.text
    print(f"taken over and painted after {time.monotonic() - began_at:.1f} s")
    deployment.prove(beside)


@pytest.mark.faults
def test_two_servers_answer_one_key_once(deployment: Deployment) -> None:
    """L3, on two servers: fifty at once."""
    first = deployment.start()
    other_data = deployment.folder / "other-data"
    other_data.mkdir(mode=0o700)
    shutil.copy(deployment.data / "pepper", other_data / "pepper")
    urls = [first.url, deployment.start(data=other_data).url]
    answers: list[httpx.Response] = []

    def ask(number: int) -> None:
        answers.append(deployment.ask(urls[number % 2], 7, key="mine"))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    for url in urls:
        assert deployment.ask(url, 7, key="mine").headers["idempotency-replayed"] == "true"
        assert deployment.ask(url, 8, key="mine").status_code == 409
    deployment.prove(first)
    assert len(deployment.rows("SELECT id FROM job")) == 1


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
