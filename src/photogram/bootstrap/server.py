"""Builds the server out of both columns; the only place that knows the two.

Settings come in, a running server comes out. Every resource is opened in the order in which a
failure should be told: the model folder, the port, the data folder.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import uvicorn

from photogram.accounts.models import NewKey
from photogram.api.admin.server import serve_operators
from photogram.api.body import BODY_TIMEOUT_S
from photogram.api.deps import Services
from photogram.api.protocol import GuardedProtocol
from photogram.api.server import DrainingServer
from photogram.bootstrap.app import build_app, build_operator_pages
from photogram.bootstrap.listeners import listen, listen_for_operators, local_url
from photogram.bootstrap.models import make_pool, served_models
from photogram.bootstrap.services import address_guard, build_services
from photogram.bootstrap.store import Store, open_store
from photogram.core.errors import CheckpointError
from photogram.core.messages import ModelInfo
from photogram.core.ports import Engines
from photogram.core.settings import Settings
from photogram.generation.catalogue import Catalogue
from photogram.generation.lease import ServerLease
from photogram.generation.recovery import Recovery
from photogram.generation.retention import Retention
from photogram.ledger.pricing import parse_credits
from photogram.webhooks.courier import Courier

FIRST_ACCOUNT = "default"

_ANSWER_TIMEOUT_S = ceil(BODY_TIMEOUT_S) + 1  # so that who still sends is answered too
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a server says when it takes requests.

    Attributes:
        models: The default one first.
        first_key: The key of the account that was made because there was none.
    """

    url: str
    models: tuple[ModelInfo, ...]
    first_key: NewKey | None


def serve(settings: Settings, announce: Callable[[Announcement], None]) -> None:
    """Serve until SIGTERM or SIGINT; jobs under way then get `drain_timeout_s` to finish.

    Args:
        settings: All of them.
        announce: Called once, when the model is loaded and requests are taken.

    Raises:
        CheckpointError: The model folder cannot be served.
        ConfigurationError: The port, the data folder or the database is in use.
        StorageError: The data folder or the database cannot be written.
    """
    models = served_models(settings)
    catalogue = Catalogue([(model.info, model.prices) for model in models])
    engine = make_pool(settings, models)
    with (
        listen(settings.host, settings.port) as listener,
        listen_for_operators(settings) as admin_listener,
        open_store(settings, is_alone=True) as store,
    ):
        listeners = (listener, admin_listener)
        asyncio.run(serve_store(settings, store, engine, catalogue, listeners, announce))


async def serve_store(
    settings: Settings,
    store: Store,
    engine: Engines,
    catalogue: Catalogue,
    listeners: tuple[socket.socket, socket.socket | None],
    announce: Callable[[Announcement], None],
) -> None:
    """Serve an open store until a signal.

    Args:
        settings: All of them.
        store: What is served; this process alone holds its folder.
        engine: What paints; it is started and closed here.
        catalogue: The models that it paints with.
        listeners: For customers, and for operators if they have one.
        announce: As in `serve`.

    Raises:
        PhotogramError: As in `serve`.
    """
    # The data folder's lock keeps every other server off a SQLite file; PostgreSQL may be shared.
    lease = ServerLease(store.database, is_alone=settings.database_url is None)
    courier = Courier(store.database, address_guard(settings))
    services = build_services(settings, store, engine, catalogue, lease.server_id, courier)
    recovery = Recovery(store.database, services.generation, lease.server_id)
    server = DrainingServer(
        uvicorn.Config(
            build_app(services),
            http=GuardedProtocol,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_ANSWER_TIMEOUT_S,
        ),
        engine,
        drain_timeout_s=settings.drain_timeout_s,
    )
    await engine.start()
    watches = [
        asyncio.create_task(each)
        for each in (
            _announce_when_ready(settings, store, services, server, announce),
            store.ledger.watch(),
            lease.keep(),
            recovery.watch(),
            Retention(store.database, store.blobs).watch(),
            courier.run(),
        )
    ]
    for watch in watches:
        watch.add_done_callback(server.end_if_failed)
    try:
        listener, admin_listener = listeners
        pages = build_operator_pages(services, store.operators)
        async with serve_operators(services, store.operators, admin_listener, pages):
            await server.serve(sockets=[listener])
    finally:
        await engine.close()
        await services.generation.close()
        for watch in watches:
            watch.cancel()
        await asyncio.wait(watches)
        lease.end()
    for watch in watches:
        if not watch.cancelled():
            watch.result()  # what ended the server, if it was one of them


async def _announce_when_ready(
    settings: Settings,
    store: Store,
    services: Services,
    server: uvicorn.Server,
    announce: Callable[[Announcement], None],
) -> None:
    """Tell the user once.

    Raises:
        CheckpointError: The checkpoint cannot be loaded.
        StorageError: The first key cannot be written.
    """
    engine = services.engine
    while not (engine.is_ready and server.started):
        if engine.load_failure is not None:
            raise CheckpointError(engine.load_failure)
        await asyncio.sleep(_POLL_S)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    models = tuple(offer.model for offer in services.generation.catalogue.offers)
    first_key = await asyncio.to_thread(_make_first_key, settings, store)
    announce(Announcement(local_url(host, port), models, first_key))


def _make_first_key(settings: Settings, store: Store) -> NewKey | None:
    """On an empty store, an account with credits and its key."""
    if store.accounts.list_keys():
        return None
    amount_micro = parse_credits(f"{settings.first_credits:f}")
    if amount_micro:
        # Before the key: a start that breaks off in between is made good by the next one.
        account_id = store.accounts.ensure_account(FIRST_ACCOUNT)
        store.ledger.grant(account_id, amount_micro, idem_ref="first-credits", actor="server")
    return store.accounts.create_key(FIRST_ACCOUNT)
