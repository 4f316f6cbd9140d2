"""The HTTP application: services come in, an ASGI app goes out.

Every route needs a key, but for the public ones that are named here. The app starts and stops
nothing: engine and database belong to whoever made them.
"""

from importlib.metadata import version

from fastapi import Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from photogram.api.body import BODY_TIMEOUT_S
from photogram.api.deps import Services, authenticate
from photogram.api.errors import (
    ClientGoneError,
    answer_nobody,
    answer_photogram_error,
    answer_routing_error,
)
from photogram.api.middleware import Bookkeeper, Cors, Guard
from photogram.api.ratelimit import AccountSlots, KeyRates
from photogram.api.routes import account, health, models, openai_images, pictures, segmind
from photogram.core import clock
from photogram.core.errors import PhotogramError

PUBLIC_PATHS = frozenset({"/healthz", "/readyz", "/openapi.json"})
"""Everything else asks for a key."""


def create_app(services: Services, *, body_timeout_s: float = BODY_TIMEOUT_S) -> FastAPI:
    """The whole API over the given services.

    Args:
        services: What it stands on.
        body_timeout_s: Seconds within which the body of a request has to arrive.
    """
    app = FastAPI(
        title="Photogram",
        description="A self-hosted FLUX.1 [dev] image API.",
        version=version("photogram"),
        docs_url=None,  # its page loads its scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,  # a caller's SDK takes a redirect for an empty success
        middleware=[
            Middleware(Bookkeeper, ledger=services.ledger),
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
    per_minute = services.settings.requests_per_minute
    app.state.rates = KeyRates(per_minute) if per_minute else None
    app.state.slots = AccountSlots(services.settings.jobs_per_account)
    app.include_router(health.router)
    for keyed in (pictures, openai_images, account, models, segmind):
        app.include_router(keyed.router, dependencies=[Depends(authenticate)])
    return app
