"""OpenAI's routes for pictures: the same engine, keys, limits and bill in its words."""

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from photogram.accounts.models import Scope
from photogram.api.body import read_fields
from photogram.api.delivery import early_headers, late_headers
from photogram.api.deps import LIMITS, ContextDep, PrincipalDep, ServicesDep, needs
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
from photogram.api.openai_request import OPENAI_ATTRIBUTES, read_openai_request
from photogram.api.openapi import error_responses, request_schema
from photogram.api.runs import result_unless_left
from photogram.api.streaming import EventQueue, EventStream
from photogram.core.errors import InvalidRequestError
from photogram.generation.orders import Terms

router = APIRouter()

_INPUT = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": request_schema(OPENAI_ATTRIBUTES)}},
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
    "summary": "Not offered: this server takes no images yet",
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
    links = links_of(request, services.settings)
    terms = Terms(
        request_id=context.request_id,
        idempotency=read_idempotency(request, fields),
        files_url=links.files,
    )
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


@router.post("/v1/images/edits", **_REFUSAL)
@router.post("/v1/images/variations", **_REFUSAL)
async def refuse_images() -> Response:
    """Say so at once: to paint without the image would be to paint another picture."""
    raise InvalidRequestError(
        "this server takes no images yet; POST /v1/images/generations paints from a prompt",
        code="image_input_not_supported",
    )
