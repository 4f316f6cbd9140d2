"""Joins the API and the pages for people to one application: services come in, an ASGI app goes out."""

from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI
from starlette.routing import BaseRoute

from photogram.accounts.operators import OperatorService
from photogram.api.app import create_app
from photogram.api.attributes import ATTRIBUTES
from photogram.api.deps import Services
from photogram.web.account import Desk
from photogram.web.operators import Cockpit, create_operator_pages
from photogram.web.routes import Site, create_pages

GUIDE = Path(__file__).parents[3] / "docs" / "guide"


def build_app(services: Services) -> FastAPI:
    """The API, and the pages that show its words."""

    def openapi() -> Mapping[str, object]:
        return app.openapi()  # the pages are made before the app that they are a part of

    site = Site(
        attributes=ATTRIBUTES,
        models=lambda: tuple(offer.model for offer in services.generation.catalogue.offers),
        desk=Desk(
            sessions=services.sessions,
            accounts=services.accounts,
            ledger=services.ledger,
            shelf=services.generation.shelf,
            webhooks=services.webhooks,
            public_url=services.settings.public_url,
        ),
        public_url=services.settings.public_url,
        guide=GUIDE,
        openapi=openapi,
    )
    app = create_app(services, create_pages(site))
    return app


def build_operator_pages(services: Services, operators: OperatorService) -> list[BaseRoute]:
    """The pages of the operators' listener."""
    cockpit = Cockpit(
        sessions=services.sessions,
        operators=operators,
        ledger=services.ledger,
        shelf=services.generation.shelf,
        engine=services.engine,
        queue_limit=services.settings.queue_limit,
    )
    return create_operator_pages(cockpit)
