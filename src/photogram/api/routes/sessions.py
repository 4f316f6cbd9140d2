"""Signing in: a key, sent as with every request, becomes a session of the browser that sent it.

Only pages of the server itself have sessions (`accounts.browsers.is_own_page`). The key is not kept.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from photogram.accounts.browsers import CUSTOMER, is_own_page
from photogram.accounts.models import Scope
from photogram.api.cookies import end_session, set_session
from photogram.api.deps import PrincipalDep, ServicesDep, count_sign_in, needs, read_api_key
from photogram.api.key_schemas import KeyAnswer
from photogram.api.openapi import error_responses
from photogram.core.errors import PermissionDeniedError

router = APIRouter()

_ANY_KEY = needs(*Scope)
_NOT_OURS = "only pages of this server can sign in; send the key itself in x-api-key"


@router.get(
    "/v1/session",
    summary="The key that a request is made with",
    dependencies=[_ANY_KEY],
    responses=error_responses(401, 503),
)
async def get_session(services: ServicesDep, principal: PrincipalDep) -> KeyAnswer:
    """What it may do, and how much it has spent."""
    return KeyAnswer.of(await asyncio.to_thread(services.accounts.get_key, principal.key_id))


@router.post(
    "/v1/session",
    summary="Sign in",
    status_code=201,
    dependencies=[Depends(count_sign_in), _ANY_KEY],
    responses=error_responses(401, 429, 503),
)
async def sign_in(
    request: Request,
    response: Response,
    services: ServicesDep,
    principal: PrincipalDep,
    api_key: Annotated[str | None, Depends(read_api_key)],
) -> KeyAnswer:
    """Sets a cookie that pages of this server may use instead of the key, for twelve hours."""
    public_url = services.settings.public_url
    # A session begets no other: it would have no end.
    if api_key is None or not is_own_page(request.headers, public_url):
        raise PermissionDeniedError(_NOT_OURS)
    new = await services.sessions.begin(key_id=principal.key_id)
    set_session(request, response, CUSTOMER, public_url, new)
    return KeyAnswer.of(await asyncio.to_thread(services.accounts.get_key, principal.key_id))


@router.delete(
    "/v1/session",
    summary="Sign out",
    status_code=204,
    dependencies=[_ANY_KEY],
    responses=error_responses(401, 503),
)
async def sign_out(request: Request, services: ServicesDep) -> Response:
    """Ends the session that the request belongs to; one with a key alone has none to end."""
    return await end_session(request, services.sessions, CUSTOMER, services.settings.public_url)
