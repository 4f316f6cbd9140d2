"""``POST /v1/MODEL`` and its estimate: a prompt comes in, pictures go out.

The order of refusals is part of the contract: key, rate, size and type, validation, queue,
credits. Whatever ends a request early leaves nothing billed.
"""

import asyncio
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from photogram.accounts.models import Scope
from photogram.api.answers import EstimateAnswer, ImagesAnswer, as_credits
from photogram.api.asking import read_asked
from photogram.api.attributes import attributes_of
from photogram.api.delivery import answer_pictures, early_headers
from photogram.api.deps import (
    LIMITS,
    ContextDep,
    OfferDep,
    PrincipalDep,
    ServicesDep,
    hold_estimate,
    needs,
)
from photogram.api.idempotency import PARAMETER as IDEMPOTENCY
from photogram.api.links import links_of
from photogram.api.negotiation import choose_envelope
from photogram.api.openapi import error_responses, request_schema
from photogram.api.picture_events import PictureEvents
from photogram.api.runs import result_unless_left
from photogram.api.streaming import EventQueue, EventStream
from photogram.generation.catalogue import Catalogue
from photogram.generation.orders import Terms

_FILE_TYPES = ("image/webp", "image/jpeg", "image/png", "multipart/mixed", "application/zip")
_EVENTS = """\
event: queued
data: {"request_id": "…", "status": "QUEUED", "seed": 46588, "cost": 0.019737}

event: progress
data: {"step": 1, "steps": 25}

event: progress
data: {"step": 6, "steps": 25, "index": 0, "content_type": "image/jpeg", "preview": "<base64>"}

event: image
data: {"index": 0, "seed": 46588, "content_type": "image/webp", "width": 1024, "height": 1024, "image": "<base64>"}

event: completed
data: {"request_id": "…", "status": "COMPLETED", "seed": 46588, "prompt_tokens": 7, "prompt_truncated": false, "steps_executed": 25, "metrics": {}}
"""
_OUTPUT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "The picture, or what `Accept` asks for: JSON, `multipart/mixed` or a zip with all "
            "pictures, or events while they are made. JSON for several, and for `base64`. A "
            "stream that fails ends with `event: error`, whose data is an ErrorAnswer."
        ),
        "model": ImagesAnswer,
        "content": {
            **{name: {"schema": {"type": "string", "format": "binary"}} for name in _FILE_TYPES},
            "text/event-stream": {"schema": {"type": "string"}, "example": _EVENTS},
        },
    }
}

_ERRORS = error_responses(400, 401, 406, 408, 409, 413, 415, 429, 431, 500, 503, 504)


def router_of(catalogue: Catalogue) -> APIRouter:
    """Two routes for each name of each model; a model is described under one of them."""
    router = APIRouter()
    for name, offer in catalogue.names.items():
        schema = request_schema(attributes_of(offer.model))
        content = {kind: {"schema": schema} for kind in ("application/json", "multipart/form-data")}
        wanted = {"requestBody": {"required": True, "content": content}}
        router.post(
            f"/v1/{name}",
            summary=f"Paint pictures of a prompt with {offer.model.name}",
            dependencies=LIMITS,
            response_class=Response,
            responses=_OUTPUT | _ERRORS,
            openapi_extra=wanted | IDEMPOTENCY,
            include_in_schema=name == offer.name,
        )(generate)
        router.post(
            f"/v1/{name}/estimate",
            summary=f"Check and price a request for {offer.model.name}, and run nothing",
            dependencies=[needs(Scope.GENERATE, Scope.READ), Depends(hold_estimate)],
            responses=error_responses(400, 401, 408, 413, 415, 429, 431, 503),
            openapi_extra=wanted,
            include_in_schema=name == offer.name,
        )(estimate)
    return router


async def generate(
    request: Request,
    services: ServicesDep,
    offer: OfferDep,
    context: ContextDep,
    principal: PrincipalDep,
) -> Response:
    """Paint, bill and answer in one request."""
    asked = await read_asked(request, services, offer.model, principal)
    wanted = asked.wanted
    envelope = choose_envelope(
        request.headers.getlist("accept"),
        num_samples=wanted.samples,
        wants_base64=wanted.base64,
    )
    terms = Terms(
        request_id=context.request_id,
        idempotency=asked.idempotency,
        files_url=links_of(request, services.settings).files,
    )
    if envelope == "events":
        events: EventQueue = asyncio.Queue()
        run = await services.generation.create(principal, asked.order, events.put_nowait, terms)
        words = PictureEvents(run.request_id, run.order.seed, services.engine)
        headers = early_headers(wanted, run)
        return EventStream(services.generation, run, events, words, headers)
    unseen = replace(asked.order, num_previews=0)  # this answer has no place for them
    run = await services.generation.create(principal, unseen, terms=terms)
    outcome = await result_unless_left(services.generation, run, request.receive)
    if not run.is_replay:
        context.remaining_micro = outcome.remaining_micro
    return answer_pictures(outcome, wanted, run, name=offer.name, envelope=envelope)


async def estimate(
    request: Request,
    services: ServicesDep,
    offer: OfferDep,
    context: ContextDep,
    principal: PrincipalDep,
) -> EstimateAnswer:
    """What a request would cost."""
    asked = await read_asked(request, services, offer.model, principal)
    wanted, order = asked.wanted, asked.order
    context.remaining_micro = await services.ledger.remaining(principal.account_id)
    return EstimateAnswer(
        cost=as_credits(services.generation.quote(order)),
        remaining_credits=as_credits(context.remaining_micro),
        samples=wanted.samples,
        steps=wanted.steps,
        steps_executed=order.num_steps_run,
        width=order.width,
        height=order.height,
        ignored_parameters=list(wanted.ignored),
    )
