"""What routes depend on: the services behind the API, and who is asking.

`bootstrap` builds the `Services`; nothing here is made at import or kept outside the app.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials
from starlette.requests import Request

from photogram.accounts.models import Principal
from photogram.accounts.service import AccountService
from photogram.api.context import RequestContext, context_of
from photogram.api.ratelimit import AccountSlots, KeyRates
from photogram.core.ports import Engine
from photogram.core.settings import Settings
from photogram.generation.service import GenerationService
from photogram.ledger.service import LedgerService
from photogram.storage.database import Database
from photogram.storage.folder import DataFolder


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that the API stands on."""

    settings: Settings
    engine: Engine
    accounts: AccountService
    ledger: LedgerService
    generation: GenerationService
    database: Database
    folder: DataFolder


def get_services(request: Request) -> Services:
    """The services that the app was made with."""
    return cast(Services, request.app.state.services)


def get_context(request: Request) -> RequestContext:
    """The state of this request."""
    return context_of(request.scope)


ServicesDep = Annotated[Services, Depends(get_services)]
ContextDep = Annotated[RequestContext, Depends(get_context)]

_api_key = APIKeyHeader(name="x-api-key", scheme_name="x-api-key", auto_error=False)
_bearer = HTTPBearer(scheme_name="bearer", auto_error=False)


async def authenticate(
    services: ServicesDep,
    context: ContextDep,
    api_key: Annotated[str | None, Depends(_api_key)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal:
    """Who asks, by ``x-api-key`` or, where that is missing, by ``Authorization: Bearer``.

    Raises:
        AuthenticationError: No key, or not a valid one.
    """
    token = api_key or (bearer.credentials if bearer else None)
    context.principal = await services.accounts.authenticate(token)
    return context.principal


PrincipalDep = Annotated[Principal, Depends(authenticate)]


async def count_request(request: Request, context: ContextDep, principal: PrincipalDep) -> None:
    """One of the key's requests in a minute, where the operator limits them.

    Raises:
        RateLimitedError: The key has used them up.
    """
    rates = cast(KeyRates | None, request.app.state.rates)
    if rates is not None:
        context.allowance = rates.count(principal.key_id)
        context.allowance.check()


async def hold_slot(request: Request, principal: PrincipalDep) -> AsyncIterator[None]:
    """One of the account's places, from here until the answer is sent.

    Raises:
        RateLimitedError: The account uses all of its places.
    """
    slots = cast(AccountSlots, request.app.state.slots)
    with slots.hold(principal.account_id):
        yield


LIMITS = (Depends(count_request), Depends(hold_slot))
"""What every route that makes pictures depends on, in the order of refusals."""
