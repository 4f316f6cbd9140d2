"""Keys of the own account, and what they did. Another account's key is 404, like one that is not."""

import asyncio

from fastapi import APIRouter
from starlette.requests import Request

from photogram.accounts.models import Scope
from photogram.api.deps import PrincipalDep, ServicesDep, needs
from photogram.api.key_schemas import (
    KeyAnswer,
    KeyBody,
    KeysAnswer,
    NewKeyAnswer,
    RotateBody,
    UsageAnswer,
    describe_body,
    read_body,
    read_period,
)
from photogram.api.openapi import describe_parameters, error_responses

router = APIRouter()

_KEYS = [needs(Scope.KEYS)]
_KEY_ID = describe_parameters("path", "key_id")
_UNREADABLE = (400, 401, 408, 413, 415)


@router.get(
    "/v1/keys",
    summary="All keys of the account",
    dependencies=_KEYS,
    responses=error_responses(401, 503),
)
async def list_keys(services: ServicesDep, principal: PrincipalDep) -> KeysAnswer:
    """Oldest first, those that do not work any more among them."""
    infos = await asyncio.to_thread(services.accounts.keys_of, principal.account_id)
    return KeysAnswer.of(infos)


@router.post(
    "/v1/keys",
    summary="Make a key",
    status_code=201,
    dependencies=_KEYS,
    responses=error_responses(*_UNREADABLE, 409, 503),
    openapi_extra=describe_body(KeyBody),
)
async def make_key(
    request: Request, services: ServicesDep, principal: PrincipalDep
) -> NewKeyAnswer:
    """It may do at most what the key that makes it may; what is left out is as that one's."""
    body = await read_body(request, KeyBody)
    key = await asyncio.to_thread(
        services.accounts.make_key,
        principal,
        body.name,
        body.change(with_nulls=False),
        server_rate=services.settings.requests_per_minute or None,
    )
    return NewKeyAnswer.of_new(key)


@router.post(
    "/v1/keys/{key_id}/rotate",
    summary="Replace a key",
    status_code=201,
    dependencies=_KEYS,
    responses=error_responses(*_UNREADABLE, 404, 409, 503),
    openapi_extra=describe_body(RotateBody, is_required=False) | _KEY_ID,
)
async def rotate_key(
    request: Request, services: ServicesDep, principal: PrincipalDep
) -> NewKeyAnswer:
    """The new key has the same rights; the old one works a while longer. They count together."""
    body = await read_body(request, RotateBody, may_be_empty=True)
    key = await asyncio.to_thread(
        services.accounts.rotate_key,
        request.path_params["key_id"],
        body.overlap_s,
        actor=f"key:{principal.key_id}",
        holder=principal,
    )
    return NewKeyAnswer.of_new(key)


@router.delete(
    "/v1/keys/{key_id}",
    summary="Revoke a key",
    dependencies=_KEYS,
    responses=error_responses(401, 404, 503),
    openapi_extra=_KEY_ID,
)
async def revoke_key(request: Request, services: ServicesDep, principal: PrincipalDep) -> KeyAnswer:
    """At once and for good."""
    info = await asyncio.to_thread(
        services.accounts.revoke_key,
        request.path_params["key_id"],
        actor=f"key:{principal.key_id}",
        account_id=principal.account_id,
    )
    return KeyAnswer.of(info)


@router.get(
    "/v1/usage",
    summary="What the account's keys did, by day",
    dependencies=[needs(Scope.READ)],
    responses=error_responses(400, 401, 503),
    openapi_extra=describe_parameters("query", "since", "until"),
)
async def get_usage(
    request: Request, services: ServicesDep, principal: PrincipalDep
) -> UsageAnswer:
    """Both days are included; left out, the last 30."""
    period = read_period(request)
    rows = await services.ledger.report_usage(period, principal.account_id)
    return UsageAnswer.of(period, rows)
