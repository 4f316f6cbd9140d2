"""``POST /v2/MODEL``: a job that its client does not wait for, and every way to ask for it.

Requests of the other routes are found here too, by their ``x-request-id``. What else an account has
is nobody's business: any other id is 404.
"""

from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from photogram.accounts.models import Scope
from photogram.api.answers import as_credits
from photogram.api.asking import WEBHOOK_FIELDS, read_asked_job
from photogram.api.attributes import attributes_of
from photogram.api.delivery import early_headers
from photogram.api.deps import (
    LIMITS,
    ContextDep,
    OfferDep,
    PrincipalDep,
    ServicesDep,
    hold_listener,
    needs,
)
from photogram.api.idempotency import PARAMETER as IDEMPOTENCY
from photogram.api.job_answers import (
    FAILED,
    FailedAnswer,
    JobAnswer,
    StatusAnswer,
    SubmittedAnswer,
    as_response,
    job_answer,
    status_answer,
)
from photogram.api.job_events import LAST_ID, JobEvents
from photogram.api.job_paths import REQUEST_ID, JobDep, name_of
from photogram.api.links import links_of
from photogram.api.openapi import error_responses, request_schema
from photogram.api.picture_events import PictureEvents
from photogram.core.errors import NotFoundError
from photogram.core.messages import ModelInfo
from photogram.generation.catalogue import Catalogue
from photogram.generation.orders import Terms
from photogram.generation.records import JobRecord
from photogram.generation.states import JobState

router = APIRouter()


def _input(model: ModelInfo) -> dict[str, Any]:
    schema = request_schema(attributes_of(model))
    del schema["properties"]["base64"]
    schema["properties"] |= {
        name: {"type": "string", "description": note} for name, note in WEBHOOK_FIELDS.items()
    }
    content = {kind: {"schema": schema} for kind in ("application/json", "multipart/form-data")}
    return {"requestBody": {"required": True, "content": content}}


_INPUT_ID = {"parameters": [REQUEST_ID]}
_EVENTS = """\
id: 2
event: progress
data: {"step": 1, "steps": 25}

id: end
event: completed
data: {"request_id": "…", "status": "COMPLETED", "output": "https://…", "images": []}
"""
_TOLD: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`progress`, with previews, and at the end `completed` or `error`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EVENTS}},
    },
    204: {"description": "The listener has heard all."},
}
_HAS_FAILED: dict[int | str, dict[str, Any]] = {
    FAILED: {"model": FailedAnswer, "description": "It failed or was cancelled; it was not billed."}
}


def router_of(catalogue: Catalogue) -> APIRouter:
    """A route for each name of each model; a model is described under one of them."""
    painting = APIRouter()
    for name, offer in catalogue.names.items():
        painting.post(
            f"/v2/{name}",
            summary=f"Paint pictures of a prompt with {offer.model.name}, and wait for nothing",
            dependencies=LIMITS,
            responses=error_responses(400, 401, 406, 408, 409, 413, 415, 429, 431, 503, 504),
            openapi_extra=_input(offer.model) | IDEMPOTENCY,
            include_in_schema=name == offer.name,
        )(submit)
    return painting


async def submit(
    request: Request,
    response: Response,
    services: ServicesDep,
    offer: OfferDep,
    context: ContextDep,
    principal: PrincipalDep,
) -> SubmittedAnswer:
    """Check, hold the price, and answer; the job outlives the connection and the server."""
    asked = await read_asked_job(request, services, offer.model, principal)
    links = links_of(request, services.settings)
    terms = Terms(
        request_id=context.request_id,
        is_async=True,
        idempotency=asked.idempotency,
        files_url=links.files,
        webhook_url=asked.webhook_url,
        webhook_secret=asked.webhook_secret,
    )
    run = await services.generation.create(principal, asked.order, terms=terms)
    response.headers.update(early_headers(asked.wanted, run))
    return SubmittedAnswer.of(run.job_id, as_credits(run.cost_micro), links)


@router.get(
    "/v2/requests/{request_id}/status",
    summary="How far a job is",
    dependencies=[needs(Scope.READ)],
    response_model=StatusAnswer,
    responses=_HAS_FAILED | error_responses(401, 404, 503),
    openapi_extra=_INPUT_ID,
)
async def get_status(request: Request, services: ServicesDep, job: JobDep) -> Response:
    """Its state, its progress, and why it failed."""
    return as_response(_status(request, services, job))


@router.get(
    "/v2/requests/{request_id}",
    summary="What has become of a job",
    dependencies=[needs(Scope.READ)],
    response_model=JobAnswer,
    responses=_HAS_FAILED | error_responses(401, 404, 503),
    openapi_extra=_INPUT_ID,
)
@router.get(
    "/v1/requests/{request_id}",
    summary="What has become of a request",
    dependencies=[needs(Scope.READ)],
    response_model=JobAnswer,
    responses=_HAS_FAILED | error_responses(401, 404, 503),
    openapi_extra=_INPUT_ID,
)
async def get_job(request: Request, services: ServicesDep, job: JobDep) -> Response:
    """Where its pictures are; while it is open, how far it is."""
    if job.state == JobState.SUCCEEDED and job.figures is None:
        raise NotFoundError(f"the pictures of request {name_of(request)!r} are not kept any more")
    advance = services.generation.shelf.advance(job.id)
    links = links_of(request, services.settings)
    return as_response(job_answer(name_of(request), job, advance, links))


@router.post(
    "/v2/requests/{request_id}/cancel",
    summary="Stop a job",
    dependencies=[needs(Scope.GENERATE)],
    responses=error_responses(401, 404, 503),
    openapi_extra=_INPUT_ID,
    response_model_exclude_none=True,
)
async def cancel(
    request: Request, services: ServicesDep, principal: PrincipalDep, job: JobDep
) -> StatusAnswer:
    """It stops within a step, and what it held is free at once; one that has ended stays as it is."""
    await services.generation.cancel(principal.account_id, job.id)
    ended = await services.generation.shelf.find(principal.account_id, job.id)
    return _status(request, services, ended)


@router.get(
    "/v2/requests/{request_id}/events",
    summary="A job while it happens",
    dependencies=[needs(Scope.READ), Depends(hold_listener)],
    response_class=Response,
    responses=_TOLD | error_responses(401, 404, 429, 503),
    openapi_extra={
        "parameters": [
            REQUEST_ID,
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "The id of the last event that was heard.",
                "schema": {"type": "string"},
            },
        ]
    },
)
async def follow(request: Request, services: ServicesDep, job: JobDep) -> Response:
    """Its events from the first one, or from where the listener left off, to its end."""
    heard = request.headers.get("last-event-id", "")
    if heard == LAST_ID:
        return Response(status_code=204)  # so that a browser does not ask again
    after = int(heard) if heard.isascii() and heard.isdecimal() and len(heard) < 10 else 0
    seed = job.order.seed if job.order else 0
    words = PictureEvents(name_of(request), seed, services.engine)
    links = links_of(request, services.settings)
    return JobEvents(services.generation.shelf, words, links).response(job, after)


def _status(request: Request, services: ServicesDep, job: JobRecord) -> StatusAnswer:
    advance = services.generation.shelf.advance(job.id)
    return status_answer(name_of(request), job, advance)
