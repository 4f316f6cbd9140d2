"""K1: a message whose server dies between sending it and writing that down comes again, once due."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from standardwebhooks import Webhook

from tests.acceptance.server import wait_until
from tests.faults.deployment import Deployment, deployed, of_url
from tests.faults.sinks import Sink

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@pytest.fixture
def deployment(database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path / "place", of_url(database_url)) as opened:
        opened.env["PHOTOGRAM_WEBHOOK_PRIVATE_ADDRESSES"] = "true"
        yield opened


@pytest.mark.parametrize(
    ("point", "times"),
    [
        ("_record.before", 2),
        pytest.param("_record.inside", 2, marks=pytest.mark.faults),
        pytest.param("_record.after", 1, marks=pytest.mark.faults),
        pytest.param("_claim.after", 1, marks=pytest.mark.faults),
    ],
)
def test_a_message_is_delivered_whatever_kills_its_server(
    deployment: Deployment, point: str, times: int
) -> None:
    with Sink() as sink:
        # Claims are made when a server starts, too; the first that finds a message is the second.
        visits = 2 if point.startswith("_claim") else 1
        first = deployment.start(point, visits)
        accepted = deployment.ask(
            first.url, 7, path="/v2/flux-dev", webhook_url=sink.url, webhook_secret=SECRET
        )
        assert accepted.status_code == 200, accepted.text
        first.wait_until_dead()
        deployment.end_leases_of_the_dead()
        with deployment.database() as database:
            database.transact(_make_due)
        second = deployment.start()
        deployment.wait_for_job(second.url, accepted.json()["request_id"])
        assert wait_until(lambda: len(sink.received) >= times)
        undone = "SELECT id FROM message WHERE done_at IS NULL"
        assert wait_until(lambda: not deployment.rows(undone))
        assert len(sink.received) == times
        assert len({headers["webhook-id"] for headers, _ in sink.received}) == 1
        for headers, body in sink.received:
            told = Webhook(SECRET).verify(body, headers)
            assert told["data"]["request_id"] == accepted.json()["request_id"]
            assert json.loads(body)["type"] == "job.completed"
        deployment.prove(second)


def _make_due(connection: Connection) -> None:
    connection.execute(
        text("UPDATE message SET next_at = '2020-01-01 00:00:00+00' WHERE done_at IS NULL")
    )
