"""Signing in at the operators' page: an operator's key becomes a session of the browser that sent it."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from photogram.accounts.browsers import OPERATOR, is_own_page
from photogram.api.admin.deps import ActorDep, authenticate_operator
from photogram.api.cookies import end_session, set_session
from photogram.api.deps import ServicesDep, count_sign_in, read_api_key
from photogram.core.errors import PermissionDeniedError

router = APIRouter()


@router.post("/session", status_code=204, dependencies=[Depends(count_sign_in)])
async def sign_in(
    request: Request,
    services: ServicesDep,
    actor: ActorDep,
    api_key: Annotated[str | None, Depends(read_api_key)],
) -> Response:
    """Sets a cookie that pages of this listener may use instead of the key, for twelve hours."""
    if api_key is None or not is_own_page(request.headers, None):
        raise PermissionDeniedError("only pages of this server can sign in; send the key itself")
    new = await services.sessions.begin(operator_key_id=actor.removeprefix("admin:"))
    response = Response(status_code=204)
    set_session(request, response, OPERATOR, None, new)
    return response


@router.delete("/session", status_code=204, dependencies=[Depends(authenticate_operator)])
async def sign_out(request: Request, services: ServicesDep) -> Response:
    """Ends the session that the request belongs to."""
    return await end_session(request, services.sessions, OPERATOR, None)
