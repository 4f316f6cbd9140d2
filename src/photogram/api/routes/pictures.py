"""``POST /v1/flux-dev`` and its estimate: a prompt comes in, pictures go out.

The order of refusals is part of the contract: key, rate, size and type, validation, queue,
credits. Whatever ends a request early leaves nothing billed.
"""

import asyncio
import contextlib
from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from photogram.api.answers import EstimateAnswer, ImagesAnswer, as_credits
from photogram.api.body import read_fields
from photogram.api.delivery import answer_pictures
from photogram.api.deps import ContextDep, PrincipalDep, Services, ServicesDep, hold_slot
from photogram.api.errors import ClientGoneError
from photogram.api.negotiation import choose_envelope, read_preferences
from photogram.api.openapi import error_responses, request_schema
from photogram.api.schemas import GenerateRequest, read_request
from photogram.core.errors import PhotogramError
from photogram.generation.dispatcher import Outcome
from photogram.generation.service import GenerationService, Order, Run

router = APIRouter()

_INPUT = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": request_schema()},
            "multipart/form-data": {"schema": request_schema()},
        },
    }
}
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_OUTPUT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture; JSON for several, for `base64`, and where `Accept` asks so.",
        "model": ImagesAnswer,
        "content": {"image/webp": _BINARY, "image/jpeg": _BINARY, "image/png": _BINARY},
    }
}


@router.post(
    "/v1/flux-dev",
    summary="Paint pictures of a prompt",
    dependencies=[Depends(hold_slot)],
    response_class=Response,
    responses=_OUTPUT | error_responses(400, 401, 406, 408, 413, 415, 429, 431, 500, 503, 504),
    openapi_extra=_INPUT,
)
async def generate(
    request: Request, services: ServicesDep, context: ContextDep, principal: PrincipalDep
) -> Response:
    """Paint, bill and answer in one request."""
    wanted, order = await _read_order(request, services)
    envelope = choose_envelope(
        request.headers.getlist("accept"),
        num_samples=wanted.samples,
        wants_base64=wanted.base64,
    )
    run = await services.generation.create(principal, order)
    outcome = await _result_unless_left(services.generation, run, request.receive)
    context.remaining_micro = outcome.remaining_micro
    return answer_pictures(
        outcome,
        wanted,
        model=services.engine.model,
        envelope=envelope,
        request_id=context.request_id,
    )


@router.post(
    "/v1/flux-dev/estimate",
    summary="Check and price a request, and run nothing",
    responses=error_responses(400, 401, 408, 413, 415, 431, 503),
    openapi_extra=_INPUT,
)
async def estimate(
    request: Request, services: ServicesDep, context: ContextDep, principal: PrincipalDep
) -> EstimateAnswer:
    """What a request would cost."""
    wanted, order = await _read_order(request, services)
    context.remaining_micro = await services.ledger.remaining(principal.account_id)
    return EstimateAnswer(
        cost=as_credits(services.generation.quote(order)),
        remaining_credits=as_credits(context.remaining_micro),
        samples=wanted.samples,
        steps=wanted.steps,
        width=order.width,
        height=order.height,
        ignored_parameters=list(wanted.ignored),
    )


async def _read_order(request: Request, services: Services) -> tuple[GenerateRequest, Order]:
    fields = await read_fields(request, timeout_s=request.app.state.body_timeout_s)
    preferences = read_preferences(request.headers.getlist("prefer"))
    model = services.engine.model
    wanted = read_request(fields, model, is_strict=preferences.is_strict)
    return wanted, wanted.order(model, preferences.wait_s)


async def _result_unless_left(generation: GenerationService, run: Run, receive: Receive) -> Outcome:
    """Wait for the pictures, but no longer than the client does.

    Raises:
        ClientGoneError: It hung up; the run is cancelled and its credits are whole again.
    """
    result = asyncio.create_task(generation.result(run))
    left = asyncio.create_task(_hang_up(receive))
    try:
        await asyncio.wait({result, left}, return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise ClientGoneError
        return await result
    finally:
        left.cancel()
        if not result.done():
            generation.cancel(run)
            with contextlib.suppress(PhotogramError):
                await result


async def _hang_up(receive: Receive) -> None:
    """Return when the client hangs up; its body has been read, so nothing else can come."""
    while (await receive())["type"] != "http.disconnect":
        pass
