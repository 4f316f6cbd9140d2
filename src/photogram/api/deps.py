"""What routes depend on: the services behind the API, and who is asking.

`bootstrap` builds the `Services`; nothing here is made at import or kept outside the app.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final, cast

from fastapi import Depends, params
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials
from starlette.requests import Request

from photogram.accounts.browsers import CUSTOMER
from photogram.accounts.models import Principal, Scope
from photogram.accounts.service import AccountService
from photogram.accounts.sessions import SessionService
from photogram.api.context import RequestContext, context_of
from photogram.api.cookies import session_secret
from photogram.api.ratelimit import KeyRates, SignIns, Slots
from photogram.core.errors import PermissionDeniedError
from photogram.core.ports import Engines
from photogram.core.settings import Settings
from photogram.generation.catalogue import Offer
from photogram.generation.service import GenerationService
from photogram.ledger.service import LedgerService
from photogram.storage.database import Database
from photogram.storage.folder import DataFolder
from photogram.webhooks.service import WebhookService

MAX_LISTENERS: Final = 64
"""Of one account, at once."""

MAX_ESTIMATES: Final = 8
"""Of one account at once."""

MAX_UPLOADS: Final = 4
"""At once, of all accounts: each takes twice its body of memory."""

MAX_CONVERSIONS: Final = 4
"""At once, of all accounts: each takes a core for a moment."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that the API stands on."""

    settings: Settings
    engine: Engines
    accounts: AccountService
    sessions: SessionService
    ledger: LedgerService
    generation: GenerationService
    webhooks: WebhookService
    database: Database
    folder: DataFolder


def get_services(request: Request) -> Services:
    """The services that the app was made with."""
    return cast(Services, request.app.state.services)


def get_context(request: Request) -> RequestContext:
    """The state of this request."""
    return context_of(request.scope)


ServicesDep = Annotated[Services, Depends(get_services)]


async def get_offer(request: Request, services: ServicesDep) -> Offer:
    """The model that the path names: each has paths of its own, ``/v1/NAME`` and below."""
    return services.generation.catalogue.find(request.scope["path"].split("/")[2])


OfferDep = Annotated[Offer, Depends(get_offer)]
ContextDep = Annotated[RequestContext, Depends(get_context)]

read_api_key = APIKeyHeader(name="x-api-key", scheme_name="x-api-key", auto_error=False)
read_bearer = HTTPBearer(scheme_name="bearer", auto_error=False)


async def authenticate(
    request: Request,
    services: ServicesDep,
    context: ContextDep,
    api_key: Annotated[str | None, Depends(read_api_key)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(read_bearer)],
) -> Principal:
    """Who asks, by ``x-api-key``, else by ``Authorization: Bearer``, else by a session's cookie.

    Raises:
        AuthenticationError: No key, or not a valid one; of a session, it has ended.
    """
    token = api_key or (bearer.credentials if bearer else None)
    secret = session_secret(request, CUSTOMER, services.settings.public_url)
    if token is None and secret is not None:
        context.principal = await services.sessions.resume(secret)
    else:
        context.principal = await services.accounts.authenticate(token)
    return context.principal


PrincipalDep = Annotated[Principal, Depends(authenticate)]


@dataclass(frozen=True, slots=True)
class Needs:
    """The right that a route needs, as a dependency: the key has at least one of the scopes."""

    scopes: tuple[Scope, ...]

    async def __call__(self, principal: PrincipalDep) -> None:
        """Let the key pass.

        Raises:
            PermissionDeniedError: It has none of them.
        """
        if principal.scopes.isdisjoint(self.scopes):
            wanted = " or ".join(self.scopes)
            raise PermissionDeniedError(f"this needs a key with the scope {wanted}")


def needs(*scopes: Scope) -> params.Depends:
    """For a route's `dependencies`: it takes keys with one of these scopes, and no others."""
    return params.Depends(Needs(scopes))


async def count_sign_in(request: Request) -> None:
    """One of the sign-ins in a minute that an address may try, whether its key is right or not.

    Raises:
        RateLimitedError: They are used up.
    """
    cast(SignIns, request.app.state.sign_ins).count(request.client.host if request.client else "")


async def count_request(
    request: Request, services: ServicesDep, context: ContextDep, principal: PrincipalDep
) -> None:
    """One of the key's requests in a minute, where they are limited.

    Raises:
        RateLimitedError: The key has used them up.
    """
    limit = principal.requests_per_minute or services.settings.requests_per_minute
    if limit:
        rates = cast(KeyRates, request.app.state.rates)
        context.allowance = rates.count(principal.counted_id, limit)
        context.allowance.check()


async def hold_slot(
    request: Request, services: ServicesDep, principal: PrincipalDep
) -> AsyncIterator[None]:
    """One of the account's places, and of the key's own, from here until the answer is sent.

    Raises:
        RateLimitedError: All of them are taken.
    """
    slots = cast(Slots, request.app.state.slots)
    with contextlib.ExitStack() as stack:
        of_account = services.settings.jobs_per_account
        stack.enter_context(slots.hold(principal.account_id, of_account, whose="this account"))
        if principal.jobs_at_once is not None:
            key_id, of_key = principal.counted_id, principal.jobs_at_once
            stack.enter_context(slots.hold(key_id, of_key, whose="this key"))
        yield


async def hold_listener(request: Request, principal: PrincipalDep) -> AsyncIterator[None]:
    """One of the account's places to listen to a job, until the listener leaves.

    Raises:
        RateLimitedError: All of them are taken.
    """
    slots = cast(Slots, request.app.state.slots)
    holder = f"listeners of {principal.account_id}"
    with slots.hold(holder, MAX_LISTENERS, whose="this account, as a listener,"):
        yield


async def hold_estimate(request: Request, principal: PrincipalDep) -> AsyncIterator[None]:
    """One of the account's places to ask for prices, which may mean to have a picture read.

    Raises:
        RateLimitedError: All of them are taken.
    """
    slots = cast(Slots, request.app.state.slots)
    holder = f"estimates of {principal.account_id}"
    with slots.hold(holder, MAX_ESTIMATES, whose="this account, for estimates,"):
        yield


async def hold_upload(request: Request) -> AsyncIterator[None]:
    """One of the server's places to upload files, until the answer is sent.

    Raises:
        RateLimitedError: All of them are taken.
    """
    slots = cast(Slots, request.app.state.slots)
    with slots.hold("uploads", MAX_UPLOADS, whose="this server, for uploads,"):
        yield


async def hold_conversion(request: Request) -> AsyncIterator[None]:
    """One of the server's places to convert a picture, where one is to be converted.

    Raises:
        RateLimitedError: All of them are taken.
    """
    with contextlib.ExitStack() as stack:
        if "format" in request.query_params:
            slots = cast(Slots, request.app.state.slots)
            whose = "this server, for other formats,"
            stack.enter_context(slots.hold("conversions", MAX_CONVERSIONS, whose=whose))
        yield


LIMITS = (needs(Scope.GENERATE), Depends(count_request), Depends(hold_slot))
"""What every route that makes pictures depends on, in the order of refusals."""
