"""The routes of webhooks: what they take, what they tell, and to whom."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.unit.api.serving import Site, assert_error, client_of

URL = "https://example.com/hook"
EVENT = {"types": ["PIXELFLOW", "NODE_RUN"]}


async def _add(client: httpx.AsyncClient, **changes: object) -> httpx.Response:
    body: dict[str, object] = {"webhook_url": URL, "event": EVENT}
    return await client.post("/webhook/add", json=body | changes)


async def _id_of_new(client: httpx.AsyncClient) -> str:
    return str((await _add(client)).json()["webhook_id"])


@pytest.fixture
async def stranger(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """Another account's client."""
    key = site.services.accounts.create_key("bob")
    async with client_of(site) as opened:
        opened.headers["x-api-key"] = key.token
        yield opened


async def test_the_secret_is_told_once(client: httpx.AsyncClient) -> None:
    added = (await _add(client)).json()
    secret = added.pop("webhook_secret")
    assert secret.startswith("whsec_")
    assert added["event"] == EVENT
    assert added["types_without_messages"] == ["NODE_RUN"]
    listed = await client.get("/webhook/get")
    assert listed.json() == {"webhooks": [added]}
    assert secret not in listed.text


async def test_a_webhook_is_changed_switched_off_and_on(client: httpx.AsyncClient) -> None:
    webhook_id = await _id_of_new(client)
    off = await client.get("/webhook/inactive", params={"webhook_id": webhook_id})
    assert off.json()["is_active"] is False
    assert (await client.post("/webhook/test", json={"webhook_id": webhook_id})).status_code == 409
    body = {"webhook_id": webhook_id, "webhook_url": f"{URL}/2", "event": {"types": ["*", "*"]}}
    on = (await client.post("/webhook/update", json=body)).json()
    assert (on["webhook_url"], on["event"], on["is_active"]) == (f"{URL}/2", {"types": ["*"]}, True)
    assert "webhook_secret" not in on


async def test_a_test_is_one_message_at_a_time(client: httpx.AsyncClient) -> None:
    webhook_id = await _id_of_new(client)
    sent = await client.post("/webhook/test", json={"webhook_id": webhook_id})
    assert sent.json()["message_id"]
    again = await client.post("/webhook/test", json={"webhook_id": webhook_id})
    assert_error(again, 409, "conflict")
    log = await client.get("/webhook/dispatch-logs", params={"webhook_id": webhook_id})
    assert log.json() == {"logs": []}


async def test_what_is_anothers_is_not_found(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    webhook_id = await _id_of_new(client)
    params = {"webhook_id": webhook_id}
    body = {"webhook_id": webhook_id, "webhook_url": URL, "event": EVENT}
    for answer in (
        await stranger.get("/webhook/inactive", params=params),
        await stranger.get("/webhook/dispatch-logs", params=params),
        await stranger.get("/webhook/dispatch-logs", params={"request_id": "x"}),
        await stranger.post("/webhook/update", json=body),
        await stranger.post("/webhook/test", json=params),
    ):
        assert_error(answer, 404, "not_found")
        assert webhook_id not in answer.text
    assert (await stranger.get("/webhook/get")).json() == {"webhooks": []}
    assert (await client.get("/webhook/get")).json()["webhooks"][0]["is_active"] is True


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"webhook_url": None}, "webhook_url"),
        ({"webhook_url": 7}, "webhook_url"),
        ({"webhook_url": "http://example.com/"}, "webhook_url"),
        ({"webhook_url": "https://127.0.0.1/"}, "webhook_url"),
        ({"webhook_url": "https://user:secret@example.com/"}, "webhook_url"),
        ({"event": None}, "event.types"),
        ({"event": ["PIXELFLOW"]}, "event.types"),
        ({"event": {"types": []}}, "event.types"),
        ({"event": {"types": "PIXELFLOW"}}, "event.types"),
        ({"event": {"types": [7]}}, "event.types"),
        ({"event": {"types": ["two words"]}}, "event.types"),
        ({"event": {"types": ["x" * 65]}}, "event.types"),
        ({"event": {"types": [str(number) for number in range(21)]}}, "event.types"),
    ],
)
async def test_what_is_wrong_is_named(
    client: httpx.AsyncClient, changes: dict[str, object], field: str
) -> None:
    answer = await _add(client, **changes)
    assert_error(answer, 400, "invalid_request")
    assert answer.json()["details"][0]["field"] == field
    assert answer.json()["error"].startswith(f"{field} must ")


@pytest.mark.parametrize("path", ["inactive", "dispatch-logs"])
async def test_an_id_is_asked_for(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/webhook/{path}")
    assert_error(answer, 400, "invalid_request")
    assert answer.json()["details"][0]["field"] == "webhook_id"


async def test_an_account_has_a_limited_number(client: httpx.AsyncClient) -> None:
    ids = [await _id_of_new(client) for _ in range(16)]
    refused = await _add(client)
    assert_error(refused, 400, "invalid_request")
    assert "at most 16" in json.dumps(refused.json())
    await client.get("/webhook/inactive", params={"webhook_id": ids[0]})
    assert (await _add(client)).status_code == 200
    body = {"webhook_id": ids[0], "webhook_url": URL, "event": EVENT}
    assert_error(await client.post("/webhook/update", json=body), 400, "invalid_request")


@pytest.mark.parametrize("webhook_id", ["\ud800", "\0", "a b", "x" * 200])
async def test_what_cannot_be_an_id_is_a_404(client: httpx.AsyncClient, webhook_id: str) -> None:
    body = {"webhook_id": webhook_id, "webhook_url": URL, "event": EVENT}
    for path in ("/webhook/update", "/webhook/test"):
        answer = await client.post(path, content=json.dumps(body))
        assert_error(answer, 404, "not_found")
    if webhook_id.isascii():
        for path in ("/webhook/inactive", "/webhook/dispatch-logs"):
            answer = await client.get(path, params={"webhook_id": webhook_id})
            assert_error(answer, 404, "not_found")
        answer = await client.get("/webhook/dispatch-logs", params={"request_id": webhook_id})
        assert_error(answer, 404, "not_found")
