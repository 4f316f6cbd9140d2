"""OpenAI's routes for pictures: the same engine, keys, limits and bill in its words."""

import asyncio
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from photogram.accounts.models import Principal, Scope
from photogram.api.asking import given_pictures, receiving, sources_of
from photogram.api.body import read_fields
from photogram.api.context import RequestContext
from photogram.api.delivery import early_headers, late_headers
from photogram.api.deps import LIMITS, ContextDep, PrincipalDep, Services, ServicesDep, needs
from photogram.api.idempotency import PARAMETER as IDEMPOTENCY
from photogram.api.idempotency import read_idempotency
from photogram.api.links import links_of
from photogram.api.negotiation import read_preferences
from photogram.api.openai_answers import (
    OpenaiErrorAnswer,
    OpenaiEvents,
    OpenaiImagesAnswer,
    images_answer,
)
from photogram.api.openai_request import (
    EDIT_ATTRIBUTES,
    OPENAI_ATTRIBUTES,
    OpenaiRequest,
    read_openai_request,
)
from photogram.api.openapi import error_responses, request_schema
from photogram.api.runs import result_unless_left
from photogram.api.streaming import EventQueue, EventStream
from photogram.core.errors import InvalidRequestError
from photogram.generation.orders import IdempotencyKey, Order, Terms

router = APIRouter()

_INPUT = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": request_schema(OPENAI_ATTRIBUTES)}},
    }
}
_EDIT_INPUT = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": request_schema(EDIT_ATTRIBUTES)}
            for kind in ("multipart/form-data", "application/json")
        },
    }
}
_EVENTS = """\
event: image_generation.partial_image
data: {"type": "image_generation.partial_image", "b64_json": "…", "partial_image_index": 0}

event: image_generation.completed
data: {"type": "image_generation.completed", "b64_json": "…", "size": "1024x1024"}
"""
_OUTPUT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "The pictures; with `stream`, one event for each, after those of `partial_images`."
        ),
        "model": OpenaiImagesAnswer,
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EVENTS}},
    }
}
_ERRORS = error_responses(
    *(400, 401, 404, 406, 408, 409, 413, 415, 429, 431, 500, 503, 504), model=OpenaiErrorAnswer
)
_REFUSAL: dict[str, Any] = {
    "summary": "Not offered: pictures begin from a prompt",
    "dependencies": [needs(Scope.GENERATE)],
    "response_class": JSONResponse,
    "status_code": 400,
    "responses": error_responses(400, 401, 431, 503, model=OpenaiErrorAnswer),
}


@router.post(
    "/v1/images/generations",
    summary="Paint pictures of a prompt, for OpenAI's clients",
    dependencies=LIMITS,
    response_class=JSONResponse,
    responses=_OUTPUT | _ERRORS,
    openapi_extra=_INPUT | IDEMPOTENCY,
)
async def generate_images(
    request: Request, services: ServicesDep, context: ContextDep, principal: PrincipalDep
) -> Response:
    """Paint, bill and answer in one request."""
    fields = await read_fields(request, timeout_s=request.app.state.body_timeout_s)
    preferences = read_preferences(request.headers.getlist("prefer"))
    asked = read_openai_request(
        fields, services.generation.catalogue, is_strict=preferences.is_strict
    )
    order = asked.wanted.order(asked.model, preferences.wait_s)
    idempotency = read_idempotency(request, fields)
    return await _answer(request, services, context, principal, asked, order, idempotency)


@router.post(
    "/v1/images/edits",
    summary="Paint a picture over, for OpenAI's clients",
    dependencies=LIMITS,
    response_class=JSONResponse,
    responses=_OUTPUT | _ERRORS,
    openapi_extra=_EDIT_INPUT | IDEMPOTENCY,
)
async def edit_images(
    request: Request, services: ServicesDep, context: ContextDep, principal: PrincipalDep
) -> Response:
    """As `generate_images`, from an image."""
    asked, order, idempotency = await _read_edit(request, services, principal)
    return await _answer(request, services, context, principal, asked, order, idempotency)


async def _read_edit(
    request: Request, services: Services, principal: Principal
) -> tuple[OpenaiRequest, Order, IdempotencyKey | None]:
    preferences = read_preferences(request.headers.getlist("prefer"))
    async with receiving(request) as fields:
        asked = read_openai_request(
            fields, services.generation.catalogue, is_strict=preferences.is_strict, is_edit=True
        )
        idempotency = await asyncio.to_thread(read_idempotency, request, fields)
        given = given_pictures(request, services, asked.model, principal, asked.wanted)
        given = replace(given, is_cutout=True, fit=None if asked.size else given.fit)
        order = asked.wanted.order(asked.model, preferences.wait_s)
        order = await sources_of(request).read(order, given)
        wanted = replace(asked.wanted, image="", mask="")
        size = f"{order.width}x{order.height}"
        return replace(asked, wanted=wanted, size=size), order, idempotency


async def _answer(
    request: Request,
    services: Services,
    context: RequestContext,
    principal: Principal,
    asked: OpenaiRequest,
    order: Order,
    idempotency: IdempotencyKey | None,
) -> Response:
    links = links_of(request, services.settings)
    terms = Terms(request_id=context.request_id, idempotency=idempotency, files_url=links.files)
    if asked.is_streamed:
        events: EventQueue = asyncio.Queue()
        run = await services.generation.create(principal, order, events.put_nowait, terms)
        headers = early_headers(asked.wanted, run)
        words = OpenaiEvents(asked)
        return EventStream(services.generation, run, events, words, headers)
    run = await services.generation.create(principal, order, terms=terms)
    outcome = await result_unless_left(services.generation, run, request.receive)
    if not run.is_replay:
        context.remaining_micro = outcome.remaining_micro
    headers = early_headers(asked.wanted, run) | late_headers(outcome)
    body = images_answer(outcome, asked, links)
    text = body.model_dump_json(exclude_none=True)  # of a picture's two forms, one
    return Response(text, media_type="application/json", headers=headers)


@router.post("/v1/images/variations", **_REFUSAL)
async def refuse_images() -> Response:
    """Say so at once: without a prompt, there is nothing to paint."""
    raise InvalidRequestError(
        "this server paints no variations; POST /v1/images/edits paints over an image, by a prompt",
        code="image_input_not_supported",
    )
