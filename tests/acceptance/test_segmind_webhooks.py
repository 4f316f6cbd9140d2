"""The vendor's SDK, as it is, asks for webhooks; a receiver verifies what it gets."""

import asyncio
from pathlib import Path

import pytest
from segmind import SegmindError
from standardwebhooks import Webhook

from photogram.engine.fake import FakeEngine
from photogram.webhooks.addresses import AddressGuard
from photogram.webhooks.courier import Courier
from tests.acceptance.test_segmind import client_at
from tests.unit.api.serving import open_site, serve
from tests.unit.webhooks.sink import OK, open_sink
from tests.unit.webhooks.telling import running, until


async def test_the_sdk_adds_changes_reads_and_deletes_webhooks(tmp_path: Path) -> None:
    with (
        open_site(tmp_path / "data", FakeEngine(), webhook_private_addresses=True) as site,
        serve(site) as url,
    ):
        sdk = client_at(url, site.key.token)
        webhooks = sdk.webhooks
        async with open_sink(OK) as sink:
            added = await asyncio.to_thread(webhooks.add, "https://example.com/", ["PIXELFLOW"])
            webhook_id = added["webhook_id"]
            await asyncio.to_thread(webhooks.update, webhook_id, sink.url, ["PIXELFLOW"])
            await asyncio.to_thread(
                sdk._request, "POST", f"{webhooks.base_url}/test", json={"webhook_id": webhook_id}
            )
            courier = Courier(site.services.database, AddressGuard(may_be_private=True))
            async with running(courier):
                await until(lambda: webhooks.logs(webhook_id)["logs"])
        (logged,) = webhooks.logs(webhook_id)["logs"]
        assert (logged["event_type"], logged["status"]) == ("webhook.test", 204)
        assert logged["is_delivered"] is True
        (received,) = sink.received
        assert received.headers["webhook-id"] == logged["message_id"]
        event = Webhook(added["webhook_secret"]).verify(received.body, received.headers)
        assert event["data"] == {"webhook_id": webhook_id}
        webhooks.delete(webhook_id)
        (listed,) = webhooks.get()["webhooks"]
        assert (listed["webhook_url"], listed["is_active"]) == (sink.url, False)
        with pytest.raises(SegmindError) as failed:
            webhooks.add("https://example.com/", ["two words"])
        assert failed.value.status == 400
        assert "event.types" in str(failed.value)
        sdk._client.close()
