"""The HTTP application: services come in, an ASGI app goes out.

Every route needs a key with a right that the route itself states, but for the public ones that are
named here: an app with a route that states nothing is not made. The app starts and stops
nothing: engine and database belong to whoever made them.
"""

from collections.abc import Sequence
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from photogram.api.body import BODY_TIMEOUT_S
from photogram.api.deps import Needs, Services
from photogram.api.errors import (
    ClientGoneError,
    answer_nobody,
    answer_photogram_error,
    answer_routing_error,
)
from photogram.api.metrics import RequestCounts
from photogram.api.middleware import Bookkeeper, Cors, Guard
from photogram.api.ratelimit import KeyRates, SignIns, Slots
from photogram.api.routes import (
    account,
    assets,
    files,
    generations,
    health,
    keys,
    metrics,
    models,
    openai_images,
    pictures,
    requests,
    segmind,
    sessions,
    webhooks,
)
from photogram.api.sources import Sources
from photogram.core import clock
from photogram.core.errors import ConfigurationError, PhotogramError
from photogram.core.settings import Settings
from photogram.generation.catalogue import Catalogue
from photogram.webhooks.addresses import AddressGuard
from photogram.webhooks.download import Downloads

PUBLIC_PATHS = frozenset(
    {"/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/files/{file_name}"}
)
"""Everything else asks for a key. Nobody can guess the name of a file."""


def create_app(
    services: Services,
    pages: Sequence[BaseRoute] = (),
    *,
    body_timeout_s: float = BODY_TIMEOUT_S,
) -> FastAPI:
    """The whole API over the given services.

    Args:
        services: What it stands on.
        pages: Routes for people, which are no part of the API and ask for no key.
        body_timeout_s: Seconds within which the body of a request has to arrive.
    """
    counts = RequestCounts()
    app = FastAPI(
        title="Photogram",
        description="A self-hosted FLUX.1 [dev] image API.",
        version=version("photogram"),
        docs_url=None,  # its page loads its scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,  # a caller's SDK takes a redirect for an empty success
        middleware=[
            Middleware(Bookkeeper, ledger=services.ledger, counts=counts),
            Middleware(Cors),
            Middleware(Guard),
        ],
        exception_handlers={
            PhotogramError: answer_photogram_error,
            HTTPException: answer_routing_error,
            ClientGoneError: answer_nobody,
        },
    )
    app.state.services = services
    app.state.body_timeout_s = body_timeout_s
    app.state.database_probe = health.DatabaseProbe(services.database)
    app.state.started_s = int(clock.now().timestamp())
    app.state.request_counts = counts
    app.state.rates = KeyRates()
    app.state.slots = Slots()
    app.state.sign_ins = SignIns()
    app.state.sources = Sources(services.generation.files, _downloads(services.settings))
    for public in (health, metrics, files):
        app.include_router(public.router)
    painting = (requests, openai_images, assets)
    for keyed in (*painting, account, generations, keys, models, segmind, sessions, webhooks):
        app.include_router(keyed.router)
    catalogue = services.generation.catalogue
    _check_names(app, catalogue)
    app.include_router(pictures.router_of(catalogue))
    app.include_router(requests.router_of(catalogue))
    _check_rights(app)
    app.router.routes.extend(pages)
    return app


def _downloads(settings: Settings) -> Downloads | None:
    if settings.image_urls == "none":
        return None
    return Downloads(AddressGuard(may_be_private=settings.image_urls == "any"))


def _check_names(app: FastAPI, catalogue: Catalogue) -> None:
    """A model's paths must not be in the way of others.

    Raises:
        ConfigurationError: They are.
    """
    paths = (route.path or "" for route in iter_route_contexts(app.routes))
    taken = {path.split("/")[2] for path in paths if path.startswith(("/v1/", "/v2/"))}
    for name in catalogue.names:
        if name in taken:
            raise ConfigurationError(
                f"no model can be called {name!r}: the API has a path of that name; give it another slug"
            )


def _check_rights(app: FastAPI) -> None:
    for route in iter_route_contexts(app.routes):
        needed = (each.dependency for each in getattr(route, "dependencies", ()))
        if route.path not in PUBLIC_PATHS and not any(isinstance(each, Needs) for each in needed):
            raise RuntimeError(f"{route.path} states no scope: give it dependencies=[needs(...)]")
