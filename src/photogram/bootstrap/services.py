"""Builds what the routes stand on: settings, a store and an engine come in, `Services` come out."""

from datetime import timedelta

from photogram.api.deps import Services
from photogram.bootstrap.store import Store
from photogram.core.ports import Engines
from photogram.core.settings import Settings
from photogram.generation.catalogue import Catalogue
from photogram.generation.results import Results
from photogram.generation.rules import Rules
from photogram.generation.service import GenerationService
from photogram.webhooks.addresses import AddressGuard
from photogram.webhooks.courier import Courier
from photogram.webhooks.service import WebhookService


def build_services(
    settings: Settings,
    store: Store,
    engine: Engines,
    catalogue: Catalogue,
    server_id: str,
    courier: Courier,
) -> Services:
    """Everything that the routes use."""
    rules = Rules(
        catalogue=catalogue,
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
        sessions=store.sessions,
        ledger=store.ledger,
        generation=generation,
        webhooks=WebhookService(store.database, address_guard(settings), courier.wake),
        database=store.database,
        folder=store.folder,
    )


def address_guard(settings: Settings) -> AddressGuard:
    """Where webhooks may go."""
    return AddressGuard(may_be_private=settings.webhook_private_addresses)
