"""Who asks at the operators' API."""

from typing import Annotated, cast

from fastapi import Depends
from fastapi.security.http import HTTPAuthorizationCredentials
from starlette.requests import Request

from photogram.accounts.browsers import OPERATOR
from photogram.accounts.operators import OperatorService
from photogram.api.cookies import session_secret
from photogram.api.deps import ServicesDep, read_api_key, read_bearer


def get_operators(request: Request) -> OperatorService:
    """The service of operators' keys that the app was made with."""
    return cast(OperatorService, request.app.state.operators)


OperatorsDep = Annotated[OperatorService, Depends(get_operators)]


async def authenticate_operator(
    request: Request,
    services: ServicesDep,
    operators: OperatorsDep,
    api_key: Annotated[str | None, Depends(read_api_key)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(read_bearer)],
) -> str:
    """The actor of what the request does, by its key or session: as customers' are sent.

    Raises:
        AuthenticationError: No key, or no operator's; of a session, it has ended.
    """
    token = api_key or (bearer.credentials if bearer else None)
    secret = session_secret(request, OPERATOR, None)
    if token is None and secret is not None:
        return f"admin:{await services.sessions.resume_operator(secret)}"
    return f"admin:{await operators.authenticate(token)}"


ActorDep = Annotated[str, Depends(authenticate_operator)]
