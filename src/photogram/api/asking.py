"""What a request for pictures asks for, from its headers and its body together.

An HTTP request comes in, an order goes out with the words that it was given in; or one error that
names everything that is wrong.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.requests import Request

from photogram.api.body import Fields, read_fields
from photogram.api.deps import Services
from photogram.api.negotiation import read_preferences
from photogram.api.schemas import GenerateRequest, given_fields, read_request
from photogram.core.adapters import adapter_files
from photogram.core.errors import ErrorDetail, InvalidRequestError
from photogram.core.messages import ModelInfo
from photogram.generation.orders import Order
from photogram.webhooks.service import WebhookService

WEBHOOK_FIELDS = {
    "webhook_url": "Where the end of the job is told, as a Standard Webhooks message.",
    "webhook_secret": "What that message is signed with; without it, it is not signed.",
}
"""The fields that a job has beside those of its pictures."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A valid request.

    Attributes:
        fields: The body as it was given.
    """

    fields: Fields
    wanted: GenerateRequest
    order: Order


@dataclass(frozen=True, slots=True)
class AskedJob(Asked):
    """A valid request for a job that its client does not wait for.

    Attributes:
        webhook_url: Who else is told of its end.
        webhook_secret: What that message is signed with.
    """

    webhook_url: str | None
    webhook_secret: str | None


async def read_asked(request: Request, services: Services, model: ModelInfo) -> Asked:
    """What a client that waits for its pictures asks for.

    Raises:
        InvalidRequestError: With one detail for each field that is wrong.
    """
    fields = await _read_fields(request)
    return Asked(fields, *await _read_order(request, services, model, fields))


async def read_asked_job(request: Request, services: Services, model: ModelInfo) -> AskedJob:
    """What a client asks for that does not wait.

    Raises:
        InvalidRequestError: With one detail for each field that is wrong.
    """
    fields = await _read_fields(request)
    own = {name: value for name, value in fields.items() if name not in WEBHOOK_FIELDS}
    problems: list[ErrorDetail] = []

    ordered = url = secret = None
    with _collecting(problems):
        ordered = await _read_order(request, services, model, own, useless=("base64",))
    with _collecting(problems):
        url = _read_address(fields, services.webhooks)
    with _collecting(problems):
        secret = _read_secret(fields, services.webhooks)
    if ordered is None or problems:
        raise InvalidRequestError("; ".join(each.message for each in problems), details=problems)
    return AskedJob(fields, *ordered, url, secret)


@contextlib.contextmanager
def _collecting(problems: list[ErrorDetail]) -> Iterator[None]:
    try:
        yield
    except InvalidRequestError as error:
        problems += error.details


async def _read_fields(request: Request) -> Fields:
    return await read_fields(request, timeout_s=request.app.state.body_timeout_s)


async def _read_order(
    request: Request,
    services: Services,
    model: ModelInfo,
    fields: Fields,
    useless: tuple[str, ...] = (),
) -> tuple[GenerateRequest, Order]:
    preferences = read_preferences(request.headers.getlist("prefer"))
    # only where they matter, and not on the event loop: the folder may be on a slow disk
    folder = services.settings.loras if fields.get("loras") else None
    wanted = read_request(
        fields,
        model,
        is_strict=preferences.is_strict,
        useless=useless,
        adapters=await asyncio.to_thread(adapter_files, folder) if folder else (),
    )
    return wanted, wanted.order(model, preferences.wait_s)


def _read_address(fields: Fields, webhooks: WebhookService) -> str | None:
    url = fields.get("webhook_url")
    return None if url is None else webhooks.check_address(url)


def _read_secret(fields: Fields, webhooks: WebhookService) -> str | None:
    secret = fields.get("webhook_secret")
    if secret is None:
        return None
    if "webhook_url" not in given_fields(fields):
        message = "webhook_secret needs a webhook_url, whose messages it signs"
        raise InvalidRequestError(message, details=[ErrorDetail("webhook_secret", message)])
    return webhooks.check_secret(secret)
