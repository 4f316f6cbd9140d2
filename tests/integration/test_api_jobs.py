"""``/v2``: a job that nobody waits for, from its submission to its end, and every way to ask."""

import asyncio
import contextlib
import io
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from pysqlite3 import dbapi2

from photogram.api.deps import MAX_LISTENERS
from photogram.engine.fake import FakeEngine
from photogram.generation.repository import jobs
from tests.unit.api.events import parse_events
from tests.unit.api.serving import PROMPT, Site, assert_error, client_of, open_site, serve

URL = "/v2/flux-dev"
WISH = PROMPT | {"steps": 3, "seed": 5, "samples": 2, "output_format": "png"}
COST = 0.007573
ADDRESS = re.compile(r"http://photogram/v1/files/[0-9a-f]{32}\.png")


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[tuple[Site, httpx.AsyncClient]]:
    """A site whose every step takes long enough to be seen."""
    with open_site(tmp_path / "slow", FakeEngine(step_s=0.3)) as site:
        async with client_of(site) as client:
            yield site, client


async def submit(client: httpx.AsyncClient, **fields: object) -> Any:
    answer = await client.post(URL, json=WISH | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ended(client: httpx.AsyncClient, submitted: Any) -> httpx.Response:
    """The job's answer, once it has ended."""
    async with asyncio.timeout(20):
        while True:
            status = (await client.get(submitted["status_url"])).json()["status"]
            if status in ("COMPLETED", "FAILED"):
                return await client.get(submitted["response_url"])
            await asyncio.sleep(0.01)


async def test_a_submission_is_answered_at_once_with_absolute_addresses(
    slow: tuple[Site, httpx.AsyncClient],
) -> None:
    site, client = slow
    answer = await client.post(URL, json=WISH)
    body = answer.json()
    base = f"http://photogram/v2/requests/{body['request_id']}"
    assert body == {
        "request_id": body["request_id"],
        "status": "QUEUED",
        "poll_url": base,
        "status_url": f"{base}/status",
        "response_url": base,
        "cost": COST,
    }
    assert answer.headers["x-seed-value"] == "5"
    assert answer.headers["x-remaining-credits"] == "9.992427"
    assert site.balance_micro() == 10_000_000 - 7573


@pytest.mark.parametrize(
    ("public_url", "base"),
    [
        (None, "http://photogram"),
        ("https://api.example/paint", "https://api.example/paint"),
    ],
)
async def test_addresses_are_those_that_clients_reach(
    tmp_path: Path, public_url: str | None, base: str
) -> None:
    with open_site(tmp_path / "data", public_url=public_url) as site:
        async with client_of(site) as client:
            submitted = await submit(client)
            path = httpx.URL(submitted["response_url"]).path.removeprefix("/paint")
            done = await ended(client, submitted | {"response_url": path, "status_url": path})
    assert submitted["status_url"].startswith(f"{base}/v2/requests/")
    assert done.json()["output"].startswith(f"{base}/v1/files/")


async def test_a_job_ends_with_pictures_that_can_be_fetched(
    client: httpx.AsyncClient, site: Site
) -> None:
    submitted = await submit(client)
    done = await ended(client, submitted)
    body = done.json()
    assert done.status_code == 200
    assert (body["request_id"], body["status"]) == (submitted["request_id"], "COMPLETED")
    assert body["output"] == body["images"][0]["url"]
    assert (body["seed"], body["prompt"], body["steps_executed"]) == (5, "a red fox", 3)
    assert body["metrics"]["cost"] == COST
    assert body["timings"].keys() == {"inference"}
    assert body["expires_at"].endswith("Z")
    assert [image["seed"] for image in body["images"]] == [5, 6]
    for image in body["images"]:
        assert ADDRESS.fullmatch(image["url"])
        assert image["url"].endswith(image["file_name"])
        file = await client.get(image["url"])
        assert (image["content_type"], image["file_size"]) == ("image/png", len(file.content))
        picture = Image.open(io.BytesIO(file.content))
        assert (image["width"], image["height"]) == picture.size == (64, 64)
    v1 = await client.post("/v1/flux-dev", json=WISH | {"samples": 1})
    assert (await client.get(body["output"])).content == v1.content
    assert site.services.ledger.check().is_ok


async def test_progress_is_told(slow: tuple[Site, httpx.AsyncClient]) -> None:
    site, client = slow
    submitted = await submit(client)
    seen: list[Any] = []
    async with asyncio.timeout(20):
        while not seen or seen[-1]["status"] != "COMPLETED":
            told = (await client.get(submitted["status_url"])).json()
            if not seen or told != seen[-1]:
                seen.append(told)
            await asyncio.sleep(0.02)
    assert [told["progress"] for told in seen] == sorted(told["progress"] for told in seen)
    assert seen[-1] == {
        "request_id": submitted["request_id"],
        "status": "COMPLETED",
        "progress": 1.0,
    }
    for told in seen[:-1]:
        assert told["status"] in ("QUEUED", "PROCESSING")
        assert ("queue_position" in told) <= (told["status"] == "QUEUED")
    assert any(0 < told["progress"] < 1 for told in seen)
    assert site.services.ledger.check().is_ok


async def test_a_job_that_fails_says_why_and_is_not_billed(tmp_path: Path) -> None:
    with open_site(tmp_path / "data", FakeEngine(fail_with="the model is out of paint")) as site:
        async with client_of(site) as client:
            submitted = await submit(client)
            done = await ended(client, submitted)
            status = await client.get(submitted["status_url"])
        assert site.balance_micro() == 10_000_000
    assert (done.status_code, status.status_code) == (422, 422)
    assert done.json() == {
        "error": "the model is out of paint",
        "code": "inference_failed",
        "request_id": submitted["request_id"],
        "details": [],
        "status": "FAILED",
    }
    assert status.json() == {
        "request_id": submitted["request_id"],
        "status": "FAILED",
        "error": "the model is out of paint",
        "code": "inference_failed",
    }


async def test_a_job_that_is_cancelled_stops_and_is_not_billed(
    slow: tuple[Site, httpx.AsyncClient],
) -> None:
    site, client = slow
    submitted = await submit(client, steps=50)
    url = f"/v2/requests/{submitted['request_id']}/cancel"
    answer = await client.post(url)
    assert answer.status_code == 200
    assert answer.headers["x-remaining-credits"] == "10"
    told = answer.json()
    assert (told["status"], told["code"]) == ("FAILED", "cancelled")
    again = await client.post(url)
    assert again.json() == told
    done = await client.get(submitted["response_url"])
    assert (done.status_code, done.json()["code"]) == (422, "cancelled")
    async with asyncio.timeout(5):
        while site.engine.num_jobs:
            await asyncio.sleep(0.01)
    assert max(site.engine.steps_run.values(), default=0) < 50
    assert site.balance_micro() == 10_000_000


async def test_a_job_that_has_ended_stays_as_it_is_when_it_is_cancelled(
    client: httpx.AsyncClient,
) -> None:
    submitted = await submit(client)
    await ended(client, submitted)
    answer = await client.post(f"/v2/requests/{submitted['request_id']}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "COMPLETED")


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_request_of_any_route_is_found_by_its_x_request_id(
    client: httpx.AsyncClient, version: str
) -> None:
    for path in ("/v1/flux-dev", "/v1/images/generations"):
        mine = {"x-request-id": f"mine-{len(path)}"}
        first = await client.post(path, json=PROMPT | {"output_format": "png"}, headers=mine)
        found = await client.get(f"/{version}/requests/{mine['x-request-id']}")
        assert (found.status_code, found.json()["request_id"]) == (200, mine["x-request-id"])
        file = await client.get(found.json()["output"])
        assert file.content in first.content or path != "/v1/flux-dev"


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"prompt": ""}, {"prompt"}),
        ({"steps": 51, "seed": -2}, {"steps", "seed"}),
        ({"webhook_url": "ftp://x"}, {"webhook_url"}),
        ({"webhook_url": 1, "steps": 0}, {"webhook_url", "steps"}),
        ({"webhook_url": "http://127.0.0.1/"}, {"webhook_url"}),
        ({"webhook_secret": "whsec_short"}, {"webhook_secret"}),
        ({"webhook_url": "https://a.example/", "webhook_secret": "?"}, {"webhook_secret"}),
    ],
)
async def test_wrong_fields_are_refused_at_once_and_together(
    client: httpx.AsyncClient, site: Site, wrong: dict[str, object], fields: set[str]
) -> None:
    answer = await client.post(URL, json=WISH | wrong)
    assert_error(answer, 400, "invalid_request")
    assert {detail["field"] for detail in answer.json()["details"]} == fields
    for field in fields:
        assert field in answer.json()["error"]
    assert site.balance_micro() == 10_000_000
    assert not site.engine.submitted


async def test_what_has_no_effect_is_told(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, json=WISH | {"base64": True, "width": 1})
    assert answer.headers["x-ignored-parameters"] == "width, base64"
    strict = {"prefer": "handling=strict"}
    refused = await client.post(URL, json=WISH | {"base64": True}, headers=strict)
    assert_error(refused, 400, "invalid_request")


async def test_the_order_of_refusals_is_that_of_v1(tmp_path: Path) -> None:
    engine = FakeEngine(is_ready=False)
    with open_site(tmp_path / "data", engine, granted="0") as site:
        async with client_of(site) as client:
            key = await client.post(URL, json={}, headers={"x-api-key": "wrong"})
            kind = await client.post(URL, content=b"x", headers={"content-type": "image/png"})
            invalid = await client.post(URL, json={})
            loading = await client.post(URL, json=PROMPT)
            engine.is_ready = True
            poor = await client.post(URL, json=PROMPT)
    assert_error(key, 401, "invalid_api_key")
    assert_error(kind, 415, "unsupported_media_type")
    assert_error(invalid, 400, "invalid_request")
    assert_error(loading, 503, "model_loading")
    assert_error(poor, 406, "insufficient_credits")


@pytest.mark.parametrize(
    "name", ["nothing", "x" * 129, "a%00b", "a%0d%0ax-evil:1", "%C3%A9", "..%2f..", "'or'1"]
)
@pytest.mark.parametrize("tail", ["", "/status", "/events"])
async def test_any_other_name_is_a_404(client: httpx.AsyncClient, name: str, tail: str) -> None:
    answer = await client.get(f"/v2/requests/{name}{tail}")
    assert_error(answer, 404, "not_found")
    assert "x-evil" not in answer.headers


async def test_a_full_disk_is_a_503_before_anything_is_held(tmp_path: Path) -> None:
    with open_site(tmp_path / "data", disk_floor_mib=10**9) as site:
        async with client_of(site) as client:
            for path in (URL, "/v1/flux-dev", "/v1/images/generations"):
                answer = await client.post(path, json=PROMPT)
                assert_error(answer, 503, "storage_unavailable")
                assert answer.headers["retry-after"]
        assert site.balance_micro() == 10_000_000


async def test_a_locked_database_is_a_503_and_what_is_known_can_still_be_read(
    client: httpx.AsyncClient, site: Site
) -> None:
    submitted = await submit(client)
    done = await ended(client, submitted)
    left = site.balance_micro()
    path = site.services.folder.database_url.removeprefix("sqlite:///")
    with contextlib.closing(dbapi2.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        paths = (URL, "/v1/flux-dev", "/v1/images/generations")
        refused = await asyncio.gather(*(client.post(path, json=PROMPT) for path in paths))
        again = await client.get(submitted["response_url"])
        file = await client.get(again.json()["output"])
        other.rollback()
    for answer in refused:
        assert_error(answer, 503, "storage_unavailable")
        assert answer.headers["retry-after"]
    assert again.content == done.content
    assert file.status_code == 200
    assert site.balance_micro() == left
    assert len(site.engine.submitted) == 1


class TestEvents:
    @staticmethod
    async def listen(client: httpx.AsyncClient, submitted: Any, last_id: str = "") -> str:
        headers = {"last-event-id": last_id} if last_id else {}
        url = f"/v2/requests/{submitted['request_id']}/events"
        answer = await client.get(url, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return answer.text

    async def test_they_tell_a_job_to_its_end(self, slow: tuple[Site, httpx.AsyncClient]) -> None:
        _, client = slow
        submitted = await submit(client, previews=1)
        text = await self.listen(client, submitted)
        events = parse_events(text)
        assert [data["step"] for name, data in events if name == "progress"] == [1, 1, 1, 2, 3]
        assert sum("preview" in data for _, data in events) == 2
        done = await client.get(submitted["response_url"])
        assert events[-1] == ("completed", done.json())

    async def test_an_account_has_so_many_listeners(
        self, slow: tuple[Site, httpx.AsyncClient]
    ) -> None:
        _, client = slow
        submitted = await submit(client, steps=10)
        path = f"/v2/requests/{submitted['request_id']}/events"
        answers = await asyncio.gather(*[client.get(path) for _ in range(MAX_LISTENERS + 1)])
        refused = [answer for answer in answers if answer.status_code != 200]
        assert len(refused) == 1
        assert_error(refused[0], 429, "rate_limited")
        assert (await client.get(path)).status_code == 200

    async def test_they_go_on_where_the_listener_left_off(
        self, slow: tuple[Site, httpx.AsyncClient]
    ) -> None:
        _, client = slow
        submitted = await submit(client)
        whole = asyncio.create_task(self.listen(client, submitted))
        while not (await client.get(submitted["status_url"])).json()["progress"]:
            await asyncio.sleep(0.01)
        second = await self.listen(client, submitted, "2")
        first = await whole
        blocks = first.split("\n\n")
        assert [block.splitlines()[0] for block in blocks[:-1]] == [
            *("id: 2", "id: 3", "id: 4"),
            "id: end",
        ]
        assert second == "\n\n".join(blocks[1:])

    async def test_numbers_of_another_server_begin_again(
        self, slow: tuple[Site, httpx.AsyncClient]
    ) -> None:
        _, client = slow
        submitted = await submit(client)
        events = parse_events(await self.listen(client, submitted, "999"))
        assert [name for name, _ in events] == [*["progress"] * 3, "completed"]

    @pytest.mark.parametrize("last_id", ["", "3", "-1", "x", "9" * 40])
    async def test_a_job_that_has_ended_is_told_as_ended(
        self, client: httpx.AsyncClient, last_id: str
    ) -> None:
        submitted = await submit(client)
        done = await ended(client, submitted)
        events = parse_events(await self.listen(client, submitted, last_id))
        assert events == [("completed", done.json())]

    async def test_who_has_heard_the_end_is_sent_away(self, client: httpx.AsyncClient) -> None:
        submitted = await submit(client)
        await ended(client, submitted)
        url = f"/v2/requests/{submitted['request_id']}/events"
        answer = await client.get(url, headers={"last-event-id": "end"})
        assert (answer.status_code, answer.content) == (204, b"")

    async def test_a_cancelled_job_ends_with_an_error(
        self, slow: tuple[Site, httpx.AsyncClient]
    ) -> None:
        _, client = slow
        submitted = await submit(client, steps=50)
        listening = asyncio.create_task(self.listen(client, submitted))
        await asyncio.sleep(0.1)
        await client.post(f"/v2/requests/{submitted['request_id']}/cancel")
        name, data = parse_events(await listening)[-1]
        assert (name, data["status"], data["code"]) == ("error", "FAILED", "cancelled")

    async def test_a_job_at_another_server_is_told_by_its_record(self, tmp_path: Path) -> None:
        with open_site(tmp_path / "data", FakeEngine(step_s=30)) as site:
            async with client_of(site) as client:
                submitted = await submit(client)
                job_id = submitted["request_id"]
                site.services.generation.shelf._live.end(job_id)  # as if it had begun elsewhere
                listening = asyncio.create_task(self.listen(client, submitted))
                await asyncio.sleep(0.1)
                assert not listening.done()
                await site.services.database.run(jobs.cancel, site.account_id, job_id)
                events = parse_events(await listening)
                site.engine.cancel(job_id)
                await site.engine.close()
        assert [name for name, _ in events] == ["error"]

    def test_to_hang_up_harms_no_job(self, tmp_path: Path) -> None:
        engine = FakeEngine(step_s=0.2)
        with (
            open_site(tmp_path / "data", engine) as site,
            serve(site) as url,
            httpx.Client(base_url=url, headers=site.headers) as client,
        ):
            submitted = client.post(URL, json=WISH | {"steps": 5}).json()
            with client.stream("GET", f"{submitted['response_url']}/events") as answer:
                assert next(answer.iter_lines()).startswith("id: ")
            while (told := client.get(submitted["status_url"]).json())["status"] != "COMPLETED":
                assert told["status"] != "FAILED"
                time.sleep(0.05)
        assert engine.steps_run[submitted["request_id"]] == 5
