"""A message's whole way: from a running `photogram serve` to a receiver that verifies it."""

import asyncio
from pathlib import Path

import httpx
from standardwebhooks import Webhook

from tests.acceptance.server import Server
from tests.unit.webhooks.sink import OK, open_sink
from tests.unit.webhooks.telling import until


async def test_a_server_delivers_at_once_and_ends_while_a_receiver_is_silent(
    tmp_path: Path,
) -> None:
    settings = {"PHOTOGRAM_WEBHOOK_PRIVATE_ADDRESSES": "true"}
    server = await asyncio.to_thread(Server(tmp_path, env=settings).start)
    headers = {"x-api-key": server.key}
    async with (
        open_sink(OK, None) as sink,
        httpx.AsyncClient(base_url=f"{server.url}/webhook", headers=headers) as client,
    ):
        body = {"webhook_url": sink.url, "event": {"types": ["*"]}}
        added = (await client.post("/add", json=body)).json()
        params = {"webhook_id": added["webhook_id"]}
        await client.post("/test", json=params)
        await until(lambda: len(sink.received) == 1)
        event = Webhook(added["webhook_secret"]).verify(
            sink.received[0].body, sink.received[0].headers
        )
        assert (event["type"], event["data"]) == ("webhook.test", params)
        logs: list[object] = []
        while not logs:
            logs = (await client.get("/dispatch-logs", params=params)).json()["logs"]
        await client.post("/test", json=params)
        await until(lambda: len(sink.received) == 2)
        assert await asyncio.to_thread(server.stop) == 0
    assert added["webhook_secret"] not in server.errors.read_text()
    assert sink.url not in server.errors.read_text()
