"""A server's life with secrets in every place, for `test_secrets`: its log goes to stderr.

Run as ``python -m tests.integration.planted FOLDER ENGINE``; the secrets go to stdout, as JSON.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path

import httpx

from photogram.accounts.operators import OperatorService
from photogram.api.admin.app import create_admin_app
from photogram.core.messages import GenerateJob
from photogram.core.ports import Permit
from photogram.core.telemetry import configure_logging
from photogram.engine.fake import FakeEngine
from tests.unit.api.serving import PROMPT, Site, client_of, open_site

WEBHOOK_SECRET = "whsec_" + "Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5"


class BrokenEngine(FakeEngine):
    """One whose failure tells what it was asked."""

    def acquire(self, job: GenerateJob) -> Permit:
        raise ZeroDivisionError(f"internal words about {job.prompt}")


async def _ask_customers_app(site: Site, admin_token: str) -> list[str]:
    """Requests that succeed and fail; returns the tokens that they made."""
    token = site.key.token
    async with client_of(site) as client:
        made = (await client.post("/v1/keys", json={})).json()["token"]
        rotated = (await client.post(f"/v1/keys/{site.key.key_id}/rotate")).json()["token"]
        hook = {"webhook_url": "https://example.org/x", "webhook_secret": WEBHOOK_SECRET}
        bodies = (PROMPT, {"prompt": token}, {token: token} | hook, PROMPT | hook)
        for path in ("/v1/flux-dev", "/v2/flux-dev", "/v1/images/generations", f"/v1/{token}"):
            for body in bodies:
                await client.post(path, json=body, params={"api_key": token})
                await client.post(path, json=body, headers={"x-api-key": token[:-1] + "0"})
                await client.post(path, json=body, headers={"x-request-id": token})
        await client.post("/webhook/add", json=hook | {"event": {"types": ["*"]}})
        for headers in ({"x-api-key": admin_token}, {"authorization": f"Bearer {admin_token}"}):
            await client.get("/v1/keys", headers=headers)
    return [made, rotated]


async def _ask_operators_app(site: Site, operators: OperatorService, admin_token: str) -> str:
    """The same at the operators' listener; returns the token that it made."""
    transport = httpx.ASGITransport(create_admin_app(site.services, operators))
    made = ""
    async with httpx.AsyncClient(transport=transport, base_url="http://operators") as client:
        for headers in ({"x-api-key": site.key.token}, {"x-api-key": admin_token}):
            answer = await client.post("/admin/keys", json={"account": "ann"}, headers=headers)
            made = answer.json().get("token", "")
            await client.post("/admin/grants", json={"account": site.key.token}, headers=headers)
            await client.get(f"/admin/{admin_token}", headers=headers)
    return made


async def _live(folder: Path, engine: FakeEngine) -> None:
    with open_site(folder, engine) as site:
        pepper = site.services.folder.pepper()
        operators = OperatorService(site.services.database, pepper)
        admin_token = operators.create_key("eve", actor="cli").token
        tokens = [site.key.token, admin_token, *await _ask_customers_app(site, admin_token)]
        tokens.append(await _ask_operators_app(site, operators, admin_token))
        journal = repr(operators.journal(1000))
    told = {"tokens": tokens, "pepper": [pepper.hex(), repr(pepper)], "journal": journal}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    configure_logging("debug")
    logging.getLogger().setLevel(logging.DEBUG)
    engines = {"whole": FakeEngine, "broken": BrokenEngine}
    asyncio.run(_live(Path(sys.argv[1]), engines[sys.argv[2]]()))
