"""Credits that operators give, and give back."""

import asyncio

from fastapi import APIRouter
from starlette.requests import Request

from photogram.api.admin.deps import ActorDep
from photogram.api.admin.schemas import GrantAnswer, GrantBody, RefundAnswer, RefundBody
from photogram.api.answers import as_credits
from photogram.api.deps import ServicesDep
from photogram.api.key_schemas import read_body
from photogram.core.errors import NotFoundError
from photogram.core.ids import is_sane
from photogram.ledger.entries import grant_reference, refund_reference

router = APIRouter()

_MAX_SHOWN = 40


@router.post("/grants")
async def grant(request: Request, services: ServicesDep, actor: ActorDep) -> GrantAnswer:
    """Give an account credits, once for each reference."""
    body = await read_body(request, GrantBody)
    account_id = await asyncio.to_thread(services.accounts.account_id, body.account)
    balance_micro = await asyncio.to_thread(
        services.ledger.grant,
        account_id,
        body.credits,
        actor=actor,
        idem_ref=grant_reference(account_id, body.reference),
        is_free=body.is_free,
        reason=body.reason,
    )
    return GrantAnswer(account=body.account, credits=as_credits(balance_micro))


@router.post("/refunds")
async def refund(request: Request, services: ServicesDep, actor: ActorDep) -> RefundAnswer:
    """Give back what a job has cost, or a part of it, once for each reference."""
    body = await read_body(request, RefundBody)
    if not is_sane(body.job):
        raise NotFoundError(f"there is no job {body.job[:_MAX_SHOWN]!r}")
    given_micro = await asyncio.to_thread(
        services.ledger.refund,
        body.job,
        body.credits,
        actor=actor,
        reason=body.reason,
        idem_ref=refund_reference(body.job, body.reference),
    )
    return RefundAnswer(job=body.job, refunded=as_credits(given_micro))
