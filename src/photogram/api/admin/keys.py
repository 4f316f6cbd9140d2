"""Accounts and keys, as operators see and change them."""

import asyncio

from fastapi import APIRouter
from starlette.requests import Request

from photogram.api.admin.deps import ActorDep
from photogram.api.admin.limits import read_limit, read_name
from photogram.api.admin.schemas import (
    AccountAnswer,
    AccountBody,
    AccountMadeAnswer,
    AccountsAnswer,
    NewKeyBody,
)
from photogram.api.deps import ServicesDep
from photogram.api.key_schemas import (
    KeyAnswer,
    KeyBody,
    KeysAnswer,
    NewKeyAnswer,
    RotateBody,
    read_body,
)

router = APIRouter()


@router.get("/accounts")
async def list_accounts(request: Request, services: ServicesDep) -> AccountsAnswer:
    """By name, from the first whose name comes after `after`."""
    limit, after = read_limit(request), read_name(request, "after") or ""
    found = await asyncio.to_thread(services.ledger.accounts, limit, after)
    return AccountsAnswer(accounts=[AccountAnswer.of(summary) for summary in found])


@router.post("/accounts")
async def make_account(
    request: Request, services: ServicesDep, actor: ActorDep
) -> AccountMadeAnswer:
    """The account of that name, which is made if there is none."""
    name = (await read_body(request, AccountBody)).name
    account_id = await asyncio.to_thread(services.accounts.ensure_account, name, actor=actor)
    return AccountMadeAnswer(account_id=account_id, account=name)


@router.get("/keys")
async def list_keys(request: Request, services: ServicesDep) -> KeysAnswer:
    """Those of one `account`, or all."""
    name = read_name(request, "account")
    return KeysAnswer.of(await asyncio.to_thread(services.accounts.list_keys, name))


@router.post("/keys", status_code=201)
async def make_key(request: Request, services: ServicesDep, actor: ActorDep) -> NewKeyAnswer:
    """With all scopes and no limits, but for what is named."""
    body = await read_body(request, NewKeyBody)
    key = await asyncio.to_thread(
        services.accounts.create_key,
        body.account,
        name=body.name,
        rights=body.rights(),
        actor=actor,
    )
    return NewKeyAnswer.of_new(key)


@router.patch("/keys/{key_id}")
async def change_key(request: Request, services: ServicesDep, actor: ActorDep) -> KeyAnswer:
    """What is not named stays; a limit that is null is lifted."""
    body = await read_body(request, KeyBody)
    info = await asyncio.to_thread(
        services.accounts.change_key,
        request.path_params["key_id"],
        body.change(with_nulls=True),
        name=body.name,
        actor=actor,
    )
    return KeyAnswer.of(info)


@router.post("/keys/{key_id}/rotate", status_code=201)
async def rotate_key(request: Request, services: ServicesDep, actor: ActorDep) -> NewKeyAnswer:
    """The new key has the same rights; the old one works a while longer. They count together."""
    body = await read_body(request, RotateBody, may_be_empty=True)
    key = await asyncio.to_thread(
        services.accounts.rotate_key,
        request.path_params["key_id"],
        body.overlap_s,
        actor=actor,
    )
    return NewKeyAnswer.of_new(key)


@router.delete("/keys/{key_id}")
async def revoke_key(request: Request, services: ServicesDep, actor: ActorDep) -> KeyAnswer:
    """At once and for good."""
    key_id = request.path_params["key_id"]
    return KeyAnswer.of(await asyncio.to_thread(services.accounts.revoke_key, key_id, actor=actor))
