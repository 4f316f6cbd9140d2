"""What operators read: usage, the proof of the ledger, and who changed what."""

import asyncio

from fastapi import APIRouter
from starlette.requests import Request

from photogram.api.admin.deps import OperatorsDep
from photogram.api.admin.limits import read_limit, read_name
from photogram.api.admin.schemas import AuditAnswer, EntryAnswer, LedgerAnswer
from photogram.api.deps import ServicesDep
from photogram.api.key_schemas import UsageAnswer, read_period

router = APIRouter()


@router.get("/usage")
async def get_usage(request: Request, services: ServicesDep) -> UsageAnswer:
    """By day and key, of one `account` or of all; `since` and `until` are included."""
    period = read_period(request)
    name = request.query_params.get("account")
    account_id = None
    if name is not None:
        account_id = await asyncio.to_thread(services.accounts.account_id, name)
    return UsageAnswer.of(period, await services.ledger.report_usage(period, account_id))


@router.get("/ledger/check")
async def check_ledger(services: ServicesDep) -> LedgerAnswer:
    """Every balance, hold and transfer, recomputed."""
    return LedgerAnswer.of(await asyncio.to_thread(services.ledger.check))


@router.get("/audit")
async def list_changes(request: Request, operators: OperatorsDep) -> AuditAnswer:
    """The newest first; with `before`, what is older than that entry."""
    limit, before = read_limit(request), read_name(request, "before")
    found = await asyncio.to_thread(operators.journal, limit, before)
    return AuditAnswer(entries=[EntryAnswer.of(entry) for entry in found])
