"""``Idempotency-Key``: the same request again is the same answer again, and is billed once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from photogram.engine.fake import FakeEngine
from tests.unit.api.events import parse_events
from tests.unit.api.serving import PROMPT, Site, assert_error, client_of, open_site

V1, V2, OPENAI = "/v1/flux-dev", "/v2/flux-dev", "/v1/images/generations"
KEY = {"idempotency-key": "order-7"}
OF_THIS_REQUEST = {"x-request-id", "x-remaining-credits", "idempotency-replayed"}

FORMS: list[tuple[str, dict[str, object], str]] = [
    (V1, {}, "*/*"),
    (V1, {"output_format": "jpg", "output_quality": 1}, "image/*"),
    (V1, {"samples": 2}, "application/json"),
    (V1, {"base64": True, "seed": -1}, "*/*"),
    (V1, {"samples": 3, "seed": -1}, "multipart/mixed"),
    (V1, {"samples": 2, "seed": -1}, "application/zip"),
    (V1, {"seed": -1, "steps": 1, "width": 7}, "image/*"),
    (V2, {"samples": 2, "seed": -1}, "*/*"),
    (OPENAI, {"n": 2, "size": "auto"}, "*/*"),
]


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[tuple[Site, httpx.AsyncClient]]:
    with open_site(tmp_path / "slow", FakeEngine(step_s=0.2)) as site:
        async with client_of(site) as client:
            yield site, client


def told_of_the_run(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in OF_THIS_REQUEST}


@pytest.mark.parametrize(("path", "fields", "accept"), FORMS)
async def test_the_same_again_is_the_same_answer_byte_for_byte(
    client: httpx.AsyncClient, site: Site, path: str, fields: dict[str, object], accept: str
) -> None:
    headers = KEY | {"accept": accept}
    first = await client.post(path, json=PROMPT | fields, headers=headers)
    assert first.status_code == 200
    await site.services.generation.close()  # so that it has ended, whoever waits for it
    left = site.balance_micro()
    for _ in range(2):
        again = await client.post(path, json=PROMPT | fields, headers=headers)
        assert again.status_code == 200
        assert again.content == first.content
        assert again.headers["idempotency-replayed"] == "true"
        assert told_of_the_run(again) == told_of_the_run(first)
        assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert "idempotency-replayed" not in first.headers
    assert site.balance_micro() == left
    assert len(site.engine.submitted) == 1


@pytest.mark.parametrize(
    ("path", "fields", "last"),
    [
        (V1, {"previews": 2, "seed": -1, "samples": 2}, ["image", "image", "completed"]),
        (
            OPENAI,
            {"stream": True, "partial_images": 2},
            ["image_generation.completed"],
        ),
    ],
)
async def test_a_stream_again_is_its_end_again(
    client: httpx.AsyncClient, site: Site, path: str, fields: dict[str, object], last: list[str]
) -> None:
    headers = KEY | {"accept": "text/event-stream"}
    first = await client.post(path, json=PROMPT | fields, headers=headers)
    again = await client.post(path, json=PROMPT | fields, headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    assert [name for name, _ in parse_events(again.text)][-len(last) :] == last
    assert parse_events(again.text)[-len(last) :] == parse_events(first.text)[-len(last) :]
    assert not [name for name, _ in parse_events(again.text) if "p" in name and name not in last]
    assert len(site.engine.submitted) == 1


async def test_another_form_of_the_answer_holds_the_same_picture(
    client: httpx.AsyncClient, site: Site
) -> None:
    first = await client.post(V1, json=PROMPT | {"seed": -1}, headers=KEY)
    asked = KEY | {"accept": "application/json"}
    again = (await client.post(V1, json=PROMPT | {"seed": -1}, headers=asked)).json()
    assert str(again["seed"]) == first.headers["x-seed-value"]
    assert again["request_id"] == first.headers["x-request-id"]
    assert len(site.engine.submitted) == 1


@pytest.mark.parametrize(
    ("path", "fields", "is_same"),
    [
        (V1, PROMPT | {"steps": 2}, True),
        (V1, {"steps": 2} | PROMPT | {"guidance": None}, True),
        (V1, PROMPT | {"steps": 3}, False),
        (V1, PROMPT | {"steps": 2, "width": 1}, False),
        (V1, PROMPT | {"steps": 2, "seed": 46588}, False),
        (V2, PROMPT | {"steps": 2}, False),
        (OPENAI, PROMPT | {"steps": 2}, False),
    ],
)
async def test_a_key_means_one_request(
    client: httpx.AsyncClient, site: Site, path: str, fields: dict[str, object], is_same: bool
) -> None:
    await client.post(V1, json=PROMPT | {"steps": 2}, headers=KEY)
    answer = await client.post(path, json=fields, headers=KEY)
    if is_same:
        assert answer.status_code == 200
    else:
        assert_error(answer, 409, "idempotency_conflict")
    assert len(site.engine.submitted) == 1


@pytest.mark.parametrize(
    "keys", [[""], ["x" * 256], ["a b"], ["é".encode()], ["a", "a"], ["a\t"], ["\x7f"]]
)
async def test_an_unusable_key_is_refused(
    client: httpx.AsyncClient, site: Site, keys: list[str | bytes]
) -> None:
    headers = [("idempotency-key", key if isinstance(key, bytes) else key.encode()) for key in keys]
    for path in (V1, V2, OPENAI):
        request = client.build_request("POST", path, json=PROMPT)
        raw = [*request.headers.raw, *((name.encode(), value) for name, value in headers)]
        request.headers = httpx.Headers(raw)
        answer = await client.send(request)
        assert_error(answer, 400, "invalid_request")
    assert not site.engine.submitted


@pytest.mark.parametrize("key", ["a", "x" * 255, '"8e03978e-40d5-43e8-bc93-6894a57f9324"'])
async def test_any_visible_word_is_a_key(client: httpx.AsyncClient, key: str) -> None:
    headers = {"idempotency-key": key}
    first = await client.post(V1, json=PROMPT, headers=headers)
    again = await client.post(V1, json=PROMPT, headers=headers)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"


async def test_a_key_is_an_accounts_own(client: httpx.AsyncClient, site: Site) -> None:
    other = site.services.accounts.create_key("bob")
    site.services.ledger.grant(site.services.accounts.account_id("bob"), 10**6, actor="test")
    await client.post(V1, json=PROMPT, headers=KEY)
    answer = await client.post(
        V1, json=PROMPT | {"seed": 1}, headers=KEY | {"x-api-key": other.token}
    )
    assert answer.status_code == 200
    assert "idempotency-replayed" not in answer.headers


async def test_a_request_under_way_is_a_conflict_that_says_when_to_ask_again(
    slow: tuple[Site, httpx.AsyncClient],
) -> None:
    site, client = slow
    wish = PROMPT | {"steps": 3}
    first = asyncio.create_task(client.post(V1, json=wish, headers=KEY))
    while not site.engine.submitted:
        await asyncio.sleep(0.01)
    refused = await client.post(V1, json=wish, headers=KEY)
    assert_error(refused, 409, "idempotency_conflict")
    assert int(refused.headers["retry-after"]) >= 1
    done = await first
    again = await client.post(V1, json=wish, headers=KEY)
    assert again.content == done.content


async def test_of_many_at_once_one_is_painted(tmp_path: Path) -> None:
    engine = FakeEngine(step_s=0.1)
    with open_site(tmp_path / "data", engine) as site:
        async with client_of(site) as client:
            answers = await asyncio.gather(
                *(client.post(V1, json=PROMPT | {"steps": 2}, headers=KEY) for _ in range(50))
            )
            jobs = await asyncio.gather(
                *(
                    client.post(V2, json=PROMPT, headers={"idempotency-key": "another"})
                    for _ in range(50)
                )
            )
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200, *[409] * 49]
        assert {answer.status_code for answer in jobs} == {200}
        assert len({answer.content for answer in jobs}) == 1
        assert len(engine.submitted) == 2
        assert site.services.ledger.check().is_ok


async def test_a_client_that_hangs_up_finds_its_picture_when_it_asks_again(
    tmp_path: Path,
) -> None:
    engine = FakeEngine(step_s=0.2)
    with open_site(tmp_path / "data", engine) as site:
        async with client_of(site) as client:
            left = await post_and_leave(site, client)
            assert left == []
            async with asyncio.timeout(10):
                while (again := await ask_again(client)).status_code == 409:
                    await asyncio.sleep(0.05)
        assert again.status_code == 200
        assert again.headers["idempotency-replayed"] == "true"
        assert len(engine.submitted) == 1
        assert site.balance_micro() < 10_000_000


async def ask_again(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post(V1, json=PROMPT | {"steps": 3}, headers=KEY)


async def post_and_leave(site: Site, client: httpx.AsyncClient) -> list[Any]:
    """Send the request of `ask_again`, and hang up once it is painted; what came back."""
    request = client.build_request("POST", V1, json=PROMPT | {"steps": 3}, headers=KEY)
    messages = [{"type": "http.request", "body": request.content, "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        if messages:
            return messages.pop()
        while not site.engine.submitted:
            await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body" and message["body"]:
            sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": V1,
        "raw_path": V1.encode(),
        "query_string": b"",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": "http",
        "server": ("photogram", 80),
    }
    await client._transport.app(scope, receive, send)  # type: ignore[attr-defined]
    return sent


async def test_one_that_failed_may_be_tried_again(tmp_path: Path) -> None:
    engine = FakeEngine(fail_with="no paint")
    with open_site(tmp_path / "data", engine) as site:
        async with client_of(site) as client:
            failed = await client.post(V1, json=PROMPT, headers=KEY)
            engine.fail_with = None
            again = await client.post(V1, json=PROMPT, headers=KEY)
        assert_error(failed, 500, "inference_failed")
        assert again.status_code == 200
        assert "idempotency-replayed" not in again.headers
        assert len(engine.submitted) == 2


async def test_a_job_is_named_again_whatever_has_become_of_it(tmp_path: Path) -> None:
    engine = FakeEngine(fail_with="no paint", step_s=0.1)
    with open_site(tmp_path / "data", engine) as site:
        async with client_of(site) as client:
            first = await client.post(V2, json=PROMPT, headers=KEY)
            open_still = await client.post(V2, json=PROMPT, headers=KEY)
            status = (await client.get(first.json()["status_url"])).json()["status"]
            await site.services.generation.close()
            failed = await client.post(V2, json=PROMPT, headers=KEY)
            other = await client.post(V2, json=PROMPT | {"seed": 1}, headers=KEY)
        assert status in ("QUEUED", "PROCESSING")
        assert open_still.content == failed.content == first.content
        assert_error(other, 409, "idempotency_conflict")
        assert len(engine.submitted) == 1


async def test_the_answer_is_there_when_the_server_takes_nothing_new(
    client: httpx.AsyncClient, site: Site
) -> None:
    first = await client.post(V1, json=PROMPT, headers=KEY)
    site.engine.drain()
    again = await client.post(V1, json=PROMPT, headers=KEY)
    assert (again.status_code, again.content) == (200, first.content)
    assert_error(await client.post(V1, json=PROMPT), 503, "draining")
