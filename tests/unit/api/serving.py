"""The real app over real services and a fake engine, for every test that speaks HTTP."""

import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from photogram.accounts.models import NewKey
from photogram.accounts.service import AccountService
from photogram.accounts.sessions import SessionService
from photogram.api.app import create_app
from photogram.api.body import BODY_TIMEOUT_S
from photogram.api.deps import Services
from photogram.api.protocol import GuardedProtocol
from photogram.core.settings import Settings
from photogram.engine.fake import FakeEngine
from photogram.engine.pool import EnginePool
from photogram.generation.catalogue import Catalogue
from photogram.generation.lease import ServerLease
from photogram.generation.results import Results
from photogram.generation.rules import Rules
from photogram.generation.service import GenerationService
from photogram.ledger.pricing import parse_credits
from photogram.ledger.service import LedgerService
from photogram.storage.blobs import BlobFolder
from photogram.storage.database import Database
from photogram.storage.folder import DataFolder
from photogram.webhooks.addresses import AddressGuard
from photogram.webhooks.service import WebhookService
from tests.unit.generation.catalogues import catalogue_of

FIRST_CREDITS = "10"
PROMPT = {"prompt": "a red fox"}
OPENAI_PATHS = ("/v1/images/", "/v1/models")


@dataclass(frozen=True, slots=True)
class Site:
    """Services with one account that has credits and a key."""

    services: Services
    engine: FakeEngine
    account_id: str
    key: NewKey

    @property
    def headers(self) -> dict[str, str]:
        return {"x-api-key": self.key.token}

    def balance_micro(self) -> int:
        return self.services.ledger.balance(self.account_id)


@contextlib.contextmanager
def open_site(
    data: Path,
    engine: FakeEngine | None = None,
    *,
    granted: str = FIRST_CREDITS,
    catalogue: Catalogue | None = None,
    pool: EnginePool | None = None,
    **settings: object,
) -> Iterator[Site]:
    """Services over a fresh data folder; a pool stands in for the engine, if there is one."""
    engine = engine or FakeEngine()
    chosen = Settings(data=data, disk_floor_mib=0).model_copy(update=settings)
    folder = DataFolder.open(data)
    database = Database.open(folder.database_url)
    try:
        accounts = AccountService(database, folder.pepper())
        ledger = LedgerService(database)
        key = accounts.create_key("ann")
        account_id = accounts.account_id("ann")
        if parse_credits(granted):
            ledger.grant(account_id, parse_credits(granted), actor="test")
        floor_bytes = chosen.disk_floor_mib * 2**20
        blobs = BlobFolder(data / "results", floor_bytes=floor_bytes)
        blobs.prepare()
        generation = GenerationService(
            database,
            pool or engine,
            Results(blobs, timedelta(hours=chosen.results_hours)),
            Rules(
                catalogue=catalogue or catalogue_of(engine.model),
                job_timeout_s=chosen.job_timeout_s,
                async_timeout_s=chosen.async_timeout_s,
                jobs_per_account=chosen.jobs_per_account,
                with_prompt=False,
            ),
            server_id=ServerLease(database, is_alone=True).server_id,
        )
        guard = AddressGuard(chosen.webhook_private_addresses)
        webhooks = WebhookService(database, guard, wake=lambda: None)
        sessions = SessionService(database, folder.pepper())
        services = Services(
            *(chosen, pool or engine, accounts, sessions, ledger),
            *(generation, webhooks, database, folder),
        )
        yield Site(services, engine, account_id, key)
    finally:
        database.close()


@contextlib.asynccontextmanager
async def client_of(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """A client that talks to the app without a socket, with the site's key."""
    transport = httpx.ASGITransport(create_app(site.services))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://photogram", headers=site.headers
    ) as client:
        yield client
    await site.services.generation.close()


class HastyProtocol(GuardedProtocol):
    """As the server's own, with less patience."""

    headers_timeout_s = 0.5
    write_timeout_s = 0.5


@contextlib.contextmanager
def serve(
    site: Site,
    *,
    body_timeout_s: float = BODY_TIMEOUT_S,
    protocol: type[GuardedProtocol] = GuardedProtocol,
    app: FastAPI | None = None,
) -> Iterator[str]:
    """The app (the API alone, if no other is given) behind a real socket, in a thread of its own.

    Gives its URL.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            app or create_app(site.services, body_timeout_s=body_timeout_s),
            http=protocol,
            loop="asyncio",  # as the server has it
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()


def assert_error(answer: httpx.Response, status: int, code: str) -> None:
    """The one shape of every error, or OpenAI's on its own paths."""
    if answer.request.url.path.startswith(OPENAI_PATHS):
        assert_openai_error(answer, status, code)
        return
    assert (answer.status_code, answer.json().get("code")) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"error", "code", "request_id", "details"}
    assert isinstance(body["error"], str)
    assert body["error"]
    assert body["request_id"] == answer.headers["x-request-id"]
    for detail in body["details"]:
        assert {"field", "message"} <= set(detail) <= {"field", "message", "min", "max", "allowed"}


def assert_openai_error(answer: httpx.Response, status: int, code: str) -> None:
    """The shape of errors that OpenAI's clients read."""
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"].endswith(("_error", "_quota"))
