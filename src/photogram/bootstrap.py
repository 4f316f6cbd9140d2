"""Builds the server out of both columns; the only place that knows the two.

Settings come in, a running server (or, for the CLI, an open store) comes out. Every resource is
opened in the order in which a failure should be told: the model folder, the port, the data folder.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from math import ceil
from pathlib import Path

import structlog
import uvicorn

from photogram.accounts.models import NewKey
from photogram.accounts.operators import OperatorService
from photogram.accounts.service import AccountService
from photogram.api.admin.server import serve_operators
from photogram.api.app import create_app
from photogram.api.body import BODY_TIMEOUT_S
from photogram.api.deps import Services
from photogram.api.protocol import GuardedProtocol
from photogram.api.server import DrainingServer
from photogram.core.errors import CheckpointError, ConfigurationError
from photogram.core.messages import ModelInfo
from photogram.core.settings import Settings
from photogram.engine.batching import StepLimits
from photogram.engine.local import LocalEngine
from photogram.engine.process import WorkerConfig
from photogram.generation.lease import ServerLease
from photogram.generation.recovery import Recovery
from photogram.generation.results import Results
from photogram.generation.retention import Retention
from photogram.generation.rules import Rules
from photogram.generation.service import GenerationService
from photogram.ledger.pricing import PriceTable, parse_credits
from photogram.ledger.service import LedgerService
from photogram.storage import installation
from photogram.storage.blobs import BlobFolder
from photogram.storage.database import Database
from photogram.storage.folder import DataFolder
from photogram.webhooks.addresses import AddressGuard
from photogram.webhooks.courier import Courier
from photogram.webhooks.service import WebhookService
from photogram.weights.locate import inspect

FIRST_ACCOUNT = "default"

_EMBEDDED_MODELS = Path(__file__).parents[2] / "models"
_DRAIN_TIMEOUT_S = 30.0
_ANSWER_TIMEOUT_S = ceil(BODY_TIMEOUT_S) + 1  # so that who still sends is answered too
_POLL_S = 0.05

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Store:
    """The request column's durable half: what the CLI works on beside a running server."""

    folder: DataFolder
    database: Database
    blobs: BlobFolder
    accounts: AccountService
    operators: OperatorService
    ledger: LedgerService


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a server says when it takes requests.

    Attributes:
        first_key: The key of the account that was made because there was none.
    """

    url: str
    model: ModelInfo
    first_key: NewKey | None


def model_folder(settings: Settings) -> Path:
    """The checkpoint to serve: the one that is set, or the embedded one.

    Raises:
        CheckpointError: No model is set, and there is no embedded one.
    """
    if settings.model is not None:
        return settings.model
    embedded = sorted(path.parent for path in _EMBEDDED_MODELS.glob("*/model_index.json"))
    if not embedded:
        raise CheckpointError("no embedded model was found; name a checkpoint folder with --model")
    return embedded[0]


@contextlib.contextmanager
def open_store(settings: Settings, *, is_alone: bool = False) -> Iterator[Store]:
    """Open the data folder and the database, making what is not there.

    Args:
        settings: Which ones.
        is_alone: Lock the folder for this process, bring an older SQLite file up to date, and
            take the results folder for the database. Otherwise other processes may have all open.

    Raises:
        ConfigurationError: The folder is to be locked, and another server holds it; or it, or the
            results folder, belongs to another database.
        StorageError: One of them cannot be read or written, or is another version's.
    """
    with DataFolder.open(settings.data) as folder:
        if is_alone:
            folder.lock()
        # Another server, with another folder, may be using the same PostgreSQL.
        may_upgrade = is_alone and settings.database_url is None
        with _open_database(settings, folder, may_upgrade=may_upgrade) as database:
            pepper = folder.pepper()
            accounts = AccountService(database, pepper)
            accounts.prove_pepper()
            blobs = _blobs(settings, folder)
            if is_alone:
                blobs.prepare()
                blobs.claim(database.transact(installation.database_id))
            yield Store(
                folder,
                database,
                blobs,
                accounts,
                OperatorService(database, pepper),
                LedgerService(database),
            )


@contextlib.contextmanager
def open_for_upgrade(settings: Settings) -> Iterator[Database]:
    """Open the database after bringing its schema up to date; no server may be using it.

    Raises:
        ConfigurationError: A server holds the data folder.
        StorageError: It cannot be read or written, or is a newer version's.
    """
    with DataFolder.open(settings.data) as folder:
        folder.lock()
        with _open_database(settings, folder, may_upgrade=True) as database:
            yield database


def _blobs(settings: Settings, folder: DataFolder) -> BlobFolder:
    path = settings.results or folder.path / "results"
    return BlobFolder(path, floor_bytes=settings.disk_floor_mib * 2**20)


def _open_database(
    settings: Settings, folder: DataFolder, *, may_upgrade: bool
) -> contextlib.closing[Database]:
    if settings.database_url is None:
        url = folder.database_url
    else:
        url = settings.database_url.get_secret_value()
    return contextlib.closing(
        Database.open(url, may_upgrade=may_upgrade, num_connections=settings.database_connections)
    )


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
    folder = model_folder(settings)
    model = inspect(folder).model.in_precision(settings.dtype)
    with (
        _listen(settings.host, settings.port) as listener,
        _listen_for_operators(settings) as admin_listener,
        open_store(settings, is_alone=True) as store,
    ):
        engine = LocalEngine(
            model,
            _worker_config(settings, folder),
            queue_limit=settings.queue_limit,
            silence_s=settings.worker_silence_s,
        )
        asyncio.run(serve_store(settings, store, engine, (listener, admin_listener), announce))


def build_services(
    settings: Settings, store: Store, engine: LocalEngine, server_id: str, courier: Courier
) -> Services:
    """Everything that the routes use."""
    rules = Rules(
        prices=PriceTable(
            per_image=settings.price_per_image,
            per_step=settings.price_per_step,
            guidance_rate=settings.price_guidance_rate,
        ),
        job_timeout_s=settings.job_timeout_s,
        async_timeout_s=settings.async_timeout_s,
        jobs_per_account=settings.jobs_per_account,
        with_prompt=settings.embed_prompt,
    )
    generation = GenerationService(
        store.database,
        engine,
        Results(store.blobs, timedelta(hours=settings.results_hours)),
        rules,
        server_id=server_id,
        on_end=courier.wake,
    )
    return Services(
        settings=settings,
        engine=engine,
        accounts=store.accounts,
        ledger=store.ledger,
        generation=generation,
        webhooks=WebhookService(store.database, _address_guard(settings), courier.wake),
        database=store.database,
        folder=store.folder,
    )


def _address_guard(settings: Settings) -> AddressGuard:
    return AddressGuard(may_be_private=settings.webhook_private_addresses)


async def serve_store(
    settings: Settings,
    store: Store,
    engine: LocalEngine,
    listeners: tuple[socket.socket, socket.socket | None],
    announce: Callable[[Announcement], None],
) -> None:
    """Serve an open store until a signal.

    Args:
        settings: All of them.
        store: What is served; this process alone holds its folder.
        engine: What paints; it is started and closed here.
        listeners: For customers, and for operators if they have one.
        announce: As in `serve`.

    Raises:
        PhotogramError: As in `serve`.
    """
    # The data folder's lock keeps every other server off a SQLite file; PostgreSQL may be shared.
    lease = ServerLease(store.database, is_alone=settings.database_url is None)
    courier = Courier(store.database, _address_guard(settings))
    services = build_services(settings, store, engine, lease.server_id, courier)
    recovery = Recovery(store.database, services.generation, lease.server_id)
    server = DrainingServer(
        uvicorn.Config(
            create_app(services),
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
            _announce_when_ready(settings, store, engine, server, announce),
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
        async with serve_operators(services, store.operators, admin_listener):
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
    engine: LocalEngine,
    server: uvicorn.Server,
    announce: Callable[[Announcement], None],
) -> None:
    """Tell the user once.

    Raises:
        CheckpointError: The checkpoint cannot be loaded.
        StorageError: The first key cannot be written.
    """
    while not (engine.is_ready and server.started):
        if engine.load_failure is not None:
            raise CheckpointError(engine.load_failure)
        await asyncio.sleep(_POLL_S)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    first_key = await asyncio.to_thread(_make_first_key, settings, store)
    announce(Announcement(local_url(host, port), engine.model, first_key))


def local_url(host: str, port: int) -> str:
    """Where a client on this machine finds a server that listens on `host`, an IP address."""
    address = ip_address(host)
    if address.is_unspecified:  # "every address" is none that all clients can call
        address = ip_address("::1" if address.version == 6 else "127.0.0.1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


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


def _worker_config(settings: Settings, model: Path) -> WorkerConfig:
    return WorkerConfig(
        model=str(model),
        device=settings.device,
        dtype=settings.dtype,
        deterministic=settings.deterministic,
        threads=settings.threads,
        limits=StepLimits(settings.step_target_s, settings.batch_tokens),
        log_level=settings.log_level,
    )


def _listen_for_operators(
    settings: Settings,
) -> contextlib.AbstractContextManager[socket.socket | None]:
    if settings.admin_port is None:
        return contextlib.nullcontext()
    return _listen(settings.admin_host, settings.admin_port)


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before anything is loaded or written."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(f"cannot listen on {host} port {port}: {reason}") from None
