"""The routes beside pictures: prices, models, health; and what is logged."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import structlog

from photogram.core.messages import GenerateJob
from photogram.core.ports import Permit
from photogram.engine.fake import FakeEngine
from tests.unit.api.serving import PROMPT, Site, assert_error, client_of, open_site

URL = "/v1/flux-dev"


async def test_an_estimate_prices_and_runs_nothing(client: httpx.AsyncClient, site: Site) -> None:
    body = PROMPT | {"samples": 2, "steps": 10, "aspect_ratio": "16:9", "width": 1}
    answer = await client.post(f"{URL}/estimate", json=body)
    paid = await client.post(URL, json=body)
    assert answer.json() == {
        "cost": float(paid.headers["x-cost"]),
        "remaining_credits": 10.0,
        "samples": 2,
        "steps": 10,
        "steps_executed": 10,
        "width": 96,
        "height": 48,
        "ignored_parameters": ["width"],
    }
    assert len(site.engine.submitted) == 1


async def test_models_tell_their_sizes(client: httpx.AsyncClient) -> None:
    (model,) = (await client.get("/v1/models")).json()["data"]
    assert (model["id"], model["object"]) == ("fake", "model")
    assert model["aspect_ratios"]["16:9"] == [96, 48]


async def test_pricing_is_the_table_in_use(client: httpx.AsyncClient) -> None:
    pricing = (await client.get("/v1/pricing")).json()
    assert (pricing["per_image"], pricing["per_step"]) == (0.0016, 0.00072)
    assert pricing["default_request"] == 0.019737


class TestReadiness:
    async def test_all_checks_are_named(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/readyz")
        checks = {"engine": True, "database": True, "disk": True, "accepting": True}
        assert (answer.status_code, answer.json()) == (200, {"status": "ready", "checks": checks})

    async def test_a_check_that_fails_is_a_503(self, tmp_path: Path) -> None:
        engine = FakeEngine(is_ready=False)
        with open_site(tmp_path / "data", engine, disk_floor_mib=2**40) as site:
            async with client_of(site) as client:
                answer = await client.get("/readyz")
                assert (await client.get("/healthz")).status_code == 200
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        body = answer.json()
        assert body["status"] == "unready"
        checks = {"engine": False, "database": True, "disk": False, "accepting": True}
        assert body["checks"] == checks
        assert (body["error"], body["code"]) == ("not ready: engine, disk", "not_ready")
        assert body["request_id"] == answer.headers["x-request-id"]

    async def test_it_needs_the_disk_of_the_pictures_too(
        self, client: httpx.AsyncClient, site: Site, tmp_path: Path
    ) -> None:
        shutil.rmtree(tmp_path / "data" / "results")
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["error"]) == (503, "not ready: disk")

    async def test_a_server_that_shuts_down_is_not_ready(
        self, client: httpx.AsyncClient, site: Site
    ) -> None:
        site.engine.drain()
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["error"]) == (503, "not ready: accepting")

    async def test_it_enqueues_nothing(self, client: httpx.AsyncClient, site: Site) -> None:
        await client.get("/readyz")
        assert site.engine.submitted == []


async def test_a_database_that_refuses_is_a_503_before_the_run(
    client: httpx.AsyncClient, site: Site
) -> None:
    await asyncio.to_thread(
        site.services.database.transact,
        lambda connection: connection.exec_driver_sql(
            "CREATE TRIGGER broken BEFORE INSERT ON job BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        ),
    )
    answer = await client.post(URL, json=PROMPT)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["x-remaining-credits"] == "10"
    assert site.engine.submitted == []


class TestLog:
    async def test_one_line_for_each_request_without_secrets(
        self, client: httpx.AsyncClient, site: Site
    ) -> None:
        with structlog.testing.capture_logs() as events:
            await client.post(URL, json={"prompt": "a secret wish"}, headers={"x-request-id": "r1"})
            await client.get("/v1/secret-path?api_key=secret")
        first, second = (event for event in events if event["event"] == "request")
        assert first | {"ms": 0} == {
            "event": "request",
            "log_level": "info",
            "method": "POST",
            "route": URL,
            "status": 200,
            "code": None,
            "ms": 0,
            "account": site.account_id,
            "key_id": site.key.key_id,
        }
        assert (second["route"], second["status"], second["code"]) == (None, 404, "not_found")
        assert "secret" not in json.dumps(events, default=str)
        assert site.key.token not in json.dumps(events, default=str)

    async def test_a_bug_is_a_500_in_json_without_its_traceback(self, tmp_path: Path) -> None:
        class Broken(FakeEngine):
            def acquire(self, job: GenerateJob) -> Permit:
                raise ZeroDivisionError("internal words")

        with open_site(tmp_path / "data", Broken()) as site:
            async with client_of(site) as client:
                with structlog.testing.capture_logs() as events:
                    answer = await client.post(URL, json=PROMPT)
        assert_error(answer, 500, "internal_error")
        assert "internal words" not in answer.text
        assert answer.headers["x-remaining-credits"] == "10"
        assert [event["event"] for event in events if event["log_level"] == "error"]


def test_the_app_is_importable_without_torch() -> None:
    heavy = "{'torch', 'transformers', 'diffusers', 'numpy', 'PIL'}"
    code = f"import sys, photogram.api.app; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
