"""An account's webhooks, with the paths and shapes of Segmind's SDK.

A request's own `webhook_url` needs none of this. What else an account has is nobody's business: any
other id is 404.
"""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request

from photogram.accounts.models import Scope
from photogram.api.body import Fields, read_fields
from photogram.api.deps import PrincipalDep, ServicesDep, needs
from photogram.api.openapi import describe_parameters, error_responses
from photogram.core.errors import ErrorDetail, InvalidRequestError, NotFoundError
from photogram.core.ids import is_sane
from photogram.webhooks.models import TOLD_EVENTS, LoggedAttempt, Webhook

router = APIRouter(prefix="/webhook", dependencies=[needs(Scope.WEBHOOKS)])

_EVENTS_NOTE = (
    "`job.completed`, `job.failed`, or `*` for all there will be. `PIXELFLOW` is the hosted "
    "service's word for both. Others are kept, and lead to no message."
)
_ID: dict[str, Any] = {"webhook_id": {"type": "string"}}
_ADDRESS: dict[str, Any] = {
    "webhook_url": {"type": "string", "format": "uri"},
    "event": {
        "type": "object",
        "required": ["types"],
        "properties": {
            "types": {"type": "array", "items": {"type": "string"}, "description": _EVENTS_NOTE}
        },
    },
}


class Event(BaseModel):
    """What a webhook is told of."""

    types: list[str] = Field(description=_EVENTS_NOTE)


class WebhookAnswer(BaseModel):
    """A webhook, without its secret."""

    webhook_id: str
    webhook_url: str
    event: Event
    types_without_messages: list[str] = Field(
        description="Of `event.types`, those that no event of this server has."
    )
    is_active: bool = Field(description="Messages are sent to it.")
    created_at: datetime


class NewWebhookAnswer(WebhookAnswer):
    """A webhook that was just made."""

    webhook_secret: str = Field(
        description="What its messages are signed with (Standard Webhooks); shown only now."
    )


class WebhooksAnswer(BaseModel):
    """All webhooks of an account."""

    webhooks: list[WebhookAnswer]


class DispatchAnswer(BaseModel):
    """One attempt to deliver a message."""

    message_id: str = Field(description="The header `webhook-id`, the same in every attempt.")
    request_id: str | None = Field(description="The job that it tells of; none for a test.")
    event_type: str
    attempt: int = Field(description="From 1.")
    is_delivered: bool = Field(description="It was answered with a 2xx status.")
    status: int | None = Field(description="Of the answer, if there was one.")
    error: str | None = Field(description="Why there was no answer.")
    started_at: datetime
    duration_s: float


class LogsAnswer(BaseModel):
    """The newest attempts, newest first."""

    logs: list[DispatchAnswer]


class TestMessageAnswer(BaseModel):
    """A test message that is on its way."""

    message_id: str = Field(description="By which it is found in the log.")


def _body(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": list(properties), "properties": properties}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


@router.get("/get", summary="All webhooks of the account", responses=error_responses(401, 503))
async def list_webhooks(services: ServicesDep, principal: PrincipalDep) -> WebhooksAnswer:
    """Oldest first; those that are switched off too."""
    found = await services.webhooks.list(principal.account_id)
    return WebhooksAnswer(webhooks=[WebhookAnswer(**_fields(each)) for each in found])


@router.post(
    "/add",
    summary="Add a webhook",
    responses=error_responses(400, 401, 408, 413, 415, 431, 503),
    openapi_extra=_body(_ADDRESS),
)
async def add_webhook(
    request: Request, services: ServicesDep, principal: PrincipalDep
) -> NewWebhookAnswer:
    """It gets a secret of its own, which only this answer holds."""
    fields = await _read(request)
    url, event_types = fields.get("webhook_url"), _event_types(fields)
    new = await services.webhooks.add(principal.account_id, url, event_types)
    return NewWebhookAnswer(**_fields(new.webhook), webhook_secret=new.secret)


@router.post(
    "/update",
    summary="Change a webhook, and switch it on",
    responses=error_responses(400, 401, 404, 408, 413, 415, 431, 503),
    openapi_extra=_body(_ID | _ADDRESS),
)
async def update_webhook(
    request: Request, services: ServicesDep, principal: PrincipalDep
) -> WebhookAnswer:
    """Messages that were not delivered yet go to its new address. Its secret stays."""
    fields = await _read(request)
    webhook_id = _read_id(fields.get("webhook_id"))
    url, event_types = fields.get("webhook_url"), _event_types(fields)
    changed = await services.webhooks.change(principal.account_id, webhook_id, url, event_types)
    return WebhookAnswer(**_fields(changed))


@router.get(
    "/inactive",
    summary="Switch a webhook off",
    responses=error_responses(400, 401, 404, 503),
    openapi_extra=describe_parameters("query", "webhook_id"),
)
async def switch_webhook_off(
    request: Request, services: ServicesDep, principal: PrincipalDep
) -> WebhookAnswer:
    """Nothing more is sent to it, unless it is updated. It is a GET because the SDK sends one."""
    webhook_id = _read_id(request.query_params.get("webhook_id"))
    return WebhookAnswer(
        **_fields(await services.webhooks.switch_off(principal.account_id, webhook_id))
    )


@router.get(
    "/dispatch-logs",
    summary="The newest attempts to deliver",
    responses=error_responses(400, 401, 404, 503),
    openapi_extra=describe_parameters("query", "webhook_id", "request_id"),
)
async def list_dispatches(
    request: Request, services: ServicesDep, principal: PrincipalDep
) -> LogsAnswer:
    """To one webhook (`webhook_id`), or of one job (`request_id`), also to its own `webhook_url`."""
    if (job_id := request.query_params.get("request_id")) is not None:
        if not is_sane(job_id):
            raise NotFoundError("nothing is told of a request of this id")
        attempts = await services.webhooks.log_of_job(principal.account_id, job_id)
    else:
        webhook_id = _read_id(request.query_params.get("webhook_id"))
        attempts = await services.webhooks.log_of_webhook(principal.account_id, webhook_id)
    return LogsAnswer(logs=[_dispatch(each) for each in attempts])


@router.post(
    "/test",
    summary="Send a webhook a test message",
    responses=error_responses(400, 401, 404, 408, 409, 413, 415, 431, 503),
    openapi_extra=_body(_ID),
)
async def test_webhook(
    request: Request, services: ServicesDep, principal: PrincipalDep
) -> TestMessageAnswer:
    """One attempt to deliver an event `webhook.test`; the log says what came of it."""
    webhook_id = _read_id((await _read(request)).get("webhook_id"))
    return TestMessageAnswer(
        message_id=await services.webhooks.test(principal.account_id, webhook_id)
    )


async def _read(request: Request) -> Fields:
    return await read_fields(request, timeout_s=request.app.state.body_timeout_s)


def _event_types(fields: Fields) -> object:
    event = fields.get("event")
    return event.get("types") if isinstance(event, dict) else None


def _read_id(given: object) -> str:
    if not isinstance(given, str) or not given:
        message = "webhook_id must be the id of a webhook"
        raise InvalidRequestError(message, details=[ErrorDetail("webhook_id", message)])
    if not is_sane(given):  # not every database can be asked for everything
        raise NotFoundError("there is no webhook of this id")
    return given


def _fields(webhook: Webhook) -> dict[str, Any]:
    """What every answer says of a webhook."""
    return {
        "webhook_id": webhook.id,
        "webhook_url": webhook.url,
        "event": Event(types=list(webhook.event_types)),
        "types_without_messages": [word for word in webhook.event_types if word not in TOLD_EVENTS],
        "is_active": webhook.is_active,
        "created_at": webhook.created_at,
    }


def _dispatch(logged: LoggedAttempt) -> DispatchAnswer:
    return DispatchAnswer(
        message_id=logged.message_id,
        request_id=logged.job_id,
        event_type=logged.event_type,
        attempt=logged.attempt,
        is_delivered=logged.is_received,
        status=logged.status,
        error=logged.error,
        started_at=logged.started_at,
        duration_s=round(logged.duration_s, 3),
    )
