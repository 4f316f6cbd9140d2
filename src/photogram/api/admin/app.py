"""The operators' HTTP application, for a listener of its own; the customers' knows none of its paths.

Every route needs an operator's key, which opens nothing else; a customer's key opens nothing here.
No page of another origin is let in.
"""

from collections.abc import Sequence

from fastapi import Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from photogram.accounts.operators import OperatorService
from photogram.api.admin import keys, money, records, sessions
from photogram.api.admin.deps import authenticate_operator
from photogram.api.body import BODY_TIMEOUT_S
from photogram.api.deps import Services
from photogram.api.errors import (
    ClientGoneError,
    answer_nobody,
    answer_photogram_error,
    answer_routing_error,
)
from photogram.api.middleware import Bookkeeper, Guard
from photogram.api.ratelimit import SignIns
from photogram.core.errors import PhotogramError


def create_admin_app(
    services: Services, operators: OperatorService, pages: Sequence[BaseRoute] = ()
) -> FastAPI:
    """The operators' API over the same services, and pages beside it that ask for no key."""
    app = FastAPI(
        title="Photogram's operators",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        middleware=[Middleware(Bookkeeper, ledger=services.ledger), Middleware(Guard)],
        exception_handlers={
            PhotogramError: answer_photogram_error,
            HTTPException: answer_routing_error,
            ClientGoneError: answer_nobody,
        },
    )
    app.state.services = services
    app.state.operators = operators
    app.state.body_timeout_s = BODY_TIMEOUT_S
    app.state.sign_ins = SignIns()
    keyed = [Depends(authenticate_operator)]
    for module in (keys, money, records):
        app.include_router(module.router, prefix="/admin", dependencies=keyed)
    app.include_router(sessions.router, prefix="/admin")  # counts before it looks at the key
    app.router.routes.extend(pages)
    return app
