"""The operators' page: queue, engine, accounts, what failed and who changed what, on one page.

An operator's session comes in, and the page goes out; without one, it is a form to sign in with. The
page's script asks for it anew while it is looked at, and does what changes anything over the admin API.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from photogram.accounts.browsers import OPERATOR, cookie_name, is_secure
from photogram.accounts.operators import OperatorService
from photogram.accounts.sessions import SessionService
from photogram.core import clock
from photogram.core.errors import AuthenticationError
from photogram.core.ports import Engines
from photogram.generation.shelf import Shelf
from photogram.ledger.service import LedgerService
from photogram.web.rendering import Link, Renderer, open_assets

NUM_ACCOUNTS: Final = 50

_NUM_LINES = 20
_FAILURES_OF = timedelta(days=1)
_MAX_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Cockpit:
    """What the page stands on.

    Attributes:
        queue_limit: Jobs of a model queued or running at once.
    """

    sessions: SessionService
    operators: OperatorService
    ledger: LedgerService
    shelf: Shelf
    engine: Engines
    queue_limit: int


def create_operator_pages(cockpit: Cockpit) -> list[BaseRoute]:
    """The page, and the files that it loads."""
    assets = open_assets()
    renderer = Renderer(assets, (Link("/", "Operators"),), None)

    async def show(request: Request) -> Response:
        operator = await _operator(request, cockpit.sessions)
        if operator is None:
            return renderer.page(request, "sign_in.html", session_path="/admin/session")
        after = request.query_params.get("after", "")
        if len(after) > _MAX_CHARACTERS or not after.isprintable():
            after = ""
        accounts = await run_in_threadpool(cockpit.ledger.accounts, NUM_ACCOUNTS, after)
        return renderer.page(
            request,
            "operators.html",
            operator=operator,
            models=cockpit.engine.report(),
            is_draining=cockpit.engine.is_draining,
            queue=await cockpit.shelf.queue(_NUM_LINES),
            queue_limit=cockpit.queue_limit,
            failures=await cockpit.shelf.failures(clock.now() - _FAILURES_OF, _NUM_LINES),
            accounts=accounts,
            next_after=accounts[-1].name if len(accounts) == NUM_ACCOUNTS else None,
            changes=await run_in_threadpool(cockpit.operators.journal, _NUM_LINES),
        )

    return [
        Route("/", show, methods=["GET"]),
        Route(assets.path, assets.serve, methods=["GET"]),
    ]


async def _operator(request: Request, sessions: SessionService) -> str | None:
    """The key id of who is signed in; a page only reads, so its cookie needs nothing beside it."""
    name = cookie_name(OPERATOR, secure=is_secure(request.url.scheme, None))
    secret = request.cookies.get(name)
    if not secret:
        return None
    try:
        return await sessions.resume_operator(secret)
    except AuthenticationError:
        return None
