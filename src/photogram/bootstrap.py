"""Builds the server out of both columns; the only place that knows the two.

Settings come in, a running server (or, for the CLI, an open store) comes out. Every resource is
opened in the order in which a failure should be told: the model folder, the port, the data folder.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from photogram.accounts.models import NewKey
from photogram.accounts.service import AccountService
from photogram.api.app import create_app
from photogram.api.deps import Services
from photogram.api.protocol import GuardedProtocol
from photogram.core.errors import CheckpointError, ConfigurationError
from photogram.core.messages import ModelInfo
from photogram.core.settings import Settings
from photogram.engine.local import LocalEngine, WorkerConfig
from photogram.generation.recovery import recover
from photogram.generation.service import GenerationService
from photogram.ledger.pricing import PriceTable, parse_credits
from photogram.ledger.service import LedgerService
from photogram.storage.database import Database
from photogram.storage.folder import DataFolder
from photogram.weights.locate import inspect

FIRST_ACCOUNT = "default"

_EMBEDDED_MODELS = Path(__file__).parents[2] / "models"
_DRAIN_TIMEOUT_S = 30
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Store:
    """The request column's durable half: what the CLI works on beside a running server."""

    folder: DataFolder
    database: Database
    accounts: AccountService
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
def open_store(data: Path) -> Iterator[Store]:
    """Open the data folder, making it if it is not there; other processes may have it open too."""
    with DataFolder.open(data) as folder:
        database = Database.open(folder.database_path)
        try:
            accounts = AccountService(database, folder.pepper())
            yield Store(folder, database, accounts, LedgerService(database))
        finally:
            database.close()


def serve(settings: Settings, announce: Callable[[Announcement], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: All of them.
        announce: Called once, when the model is loaded and requests are taken.

    Raises:
        CheckpointError: The model folder cannot be served.
        ConfigurationError: The port or the data folder is in use.
        StorageError: The data folder cannot be written.
    """
    folder = model_folder(settings)
    model = inspect(folder).model
    with (
        _listen(settings.host, settings.port) as listener,
        open_store(settings.data) as store,
    ):
        store.folder.lock()
        recover(store.database)
        engine = LocalEngine(model, _worker_config(settings, folder), settings.queue_limit)
        asyncio.run(_run(settings, store, engine, listener, announce))


def build_services(settings: Settings, store: Store, engine: LocalEngine) -> Services:
    """Everything that the routes use."""
    prices = PriceTable(
        per_image=settings.price_per_image,
        per_step=settings.price_per_step,
        guidance_rate=settings.price_guidance_rate,
    )
    generation = GenerationService(
        store.database,
        engine,
        prices,
        job_timeout_s=settings.job_timeout_s,
        with_prompt=settings.embed_prompt,
    )
    return Services(
        settings=settings,
        engine=engine,
        accounts=store.accounts,
        ledger=store.ledger,
        generation=generation,
        database=store.database,
        folder=store.folder,
    )


async def _run(
    settings: Settings,
    store: Store,
    engine: LocalEngine,
    listener: socket.socket,
    announce: Callable[[Announcement], None],
) -> None:
    services = build_services(settings, store, engine)
    server = _Server(
        uvicorn.Config(
            create_app(services),
            http=GuardedProtocol,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_TIMEOUT_S,
        )
    )
    await engine.start()
    watcher = asyncio.create_task(_announce_when_ready(settings, store, engine, server, announce))
    try:
        await server.serve(sockets=[listener])
    finally:
        watcher.cancel()
        await engine.close()
        await services.generation.close()
    if engine.load_failure is not None:
        raise CheckpointError(engine.load_failure)


async def _announce_when_ready(
    settings: Settings,
    store: Store,
    engine: LocalEngine,
    server: uvicorn.Server,
    announce: Callable[[Announcement], None],
) -> None:
    """Tell the user once; a checkpoint that cannot be loaded ends the server instead."""
    while not (engine.is_ready and server.started):
        if engine.load_failure is not None:
            server.should_exit = True
            return
        await asyncio.sleep(_POLL_S)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    first_key = await asyncio.to_thread(_make_first_key, settings, store)
    announce(Announcement(url, engine.model, first_key))


def _make_first_key(settings: Settings, store: Store) -> NewKey | None:
    """On an empty store, an account with credits and its key."""
    if store.accounts.list_keys():
        return None
    key = store.accounts.create_key(FIRST_ACCOUNT)
    amount_micro = parse_credits(str(settings.first_credits))
    if amount_micro:
        account_id = store.accounts.account_id(FIRST_ACCOUNT)
        store.ledger.grant(account_id, amount_micro, idem_ref="first-credits", actor="server")
    return key


def _worker_config(settings: Settings, model: Path) -> WorkerConfig:
    return WorkerConfig(
        model=str(model),
        device=settings.device,
        dtype=settings.dtype,
        threads=settings.threads,
        batch_tokens=settings.batch_tokens,
        log_level=settings.log_level,
    )


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before anything is loaded or written."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(f"cannot listen on {host} port {port}: {reason}") from None


class _Server(uvicorn.Server):
    """A uvicorn server that returns after a signal, so that what is open can be closed.

    uvicorn itself raises the signal again when it is done, which would end the process there.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
