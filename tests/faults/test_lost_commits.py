"""L6: the connection to PostgreSQL breaks in a commit of a job's life; the job has one effect."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.deployment import Deployment, deployed
from tests.postgres import Cluster
from tests.unit.storage.breaking import BreakingProxy

WORDS = {
    "admit": b"INSERT INTO job ",
    "start": b"::VARCHAR, attempt=(job.attempt",
    "succeed": b"INSERT INTO image ",
}
"""What only this transaction says."""


@pytest.fixture
def place(postgres: Cluster, tmp_path: Path) -> Iterator[tuple[Deployment, BreakingProxy]]:
    with (
        postgres.database() as url,
        tempfile.TemporaryDirectory(prefix="photogram-proxy-", dir="/tmp") as folder,
        BreakingProxy(Path(folder), postgres.socket) as proxy,
        deployed(tmp_path / "place", url) as deployment,
    ):
        deployment.env["PHOTOGRAM_DATABASE_URL"] = url.replace(str(postgres.socket.parent), folder)
        yield deployment, proxy


@pytest.mark.parametrize("is_forwarded", [True, False], ids=["done", "not-done"])
@pytest.mark.parametrize("transaction", WORDS)
def test_a_job_whose_commit_lost_its_answer_has_one_effect(
    place: tuple[Deployment, BreakingProxy], transaction: str, is_forwarded: bool
) -> None:
    deployment, proxy = place
    server = deployment.start()
    proxy.break_at(b"COMMIT", is_forwarded=is_forwarded, after=WORDS[transaction])
    answer = deployment.ask_until_answered(lambda: server.url, 7, "mine")
    assert proxy.num_broken == 1, "the commit was not seen"
    assert answer.status_code == 200, answer.text
    again = deployment.ask(server.url, 7, key="mine")
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == answer.content
    deployment.prove(server)
    assert [row.state for row in deployment.rows("SELECT state FROM job")] == ["succeeded"]
