"""What a request for pictures asks for, from its headers and its body together.

An HTTP request comes in, an order goes out with the words that it was given in; or one error that
names everything that is wrong. What is wrong inside of a picture is found out once all else is right.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from starlette.requests import Request

from photogram.accounts.models import Principal
from photogram.api.body import MAX_BODY_BYTES, MAX_UPLOAD_BYTES, Fields, read_fields
from photogram.api.deps import Services
from photogram.api.idempotency import read_idempotency
from photogram.api.links import links_of
from photogram.api.negotiation import read_preferences
from photogram.api.schemas import GenerateRequest, given_fields, read_request
from photogram.api.sources import Given, Sources
from photogram.core.adapters import adapter_files
from photogram.core.errors import ErrorDetail, InvalidRequestError, PayloadTooLargeError
from photogram.core.messages import ModelInfo
from photogram.generation.orders import IdempotencyKey, Order
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
        wanted: Without its pictures, which are large and in the order.
        idempotency: The client's own name for it, if it has one.
    """

    wanted: GenerateRequest
    order: Order
    idempotency: IdempotencyKey | None


@dataclass(frozen=True, slots=True)
class AskedJob(Asked):
    """A valid request for a job that its client does not wait for.

    Attributes:
        webhook_url: Who else is told of its end.
        webhook_secret: What that message is signed with.
    """

    webhook_url: str | None
    webhook_secret: str | None


async def read_asked(
    request: Request, services: Services, model: ModelInfo, principal: Principal
) -> Asked:
    """What a client that waits for its pictures asks for.

    Raises:
        InvalidRequestError: With one detail for each field that is wrong.
    """
    async with receiving(request) as fields:
        wanted, order = await _read_order(request, services, model, fields)
        idempotency = await asyncio.to_thread(read_idempotency, request, fields)
        given = given_pictures(request, services, model, principal, wanted)
        return Asked(*await _begin(request, wanted, order, given), idempotency)


async def read_asked_job(
    request: Request, services: Services, model: ModelInfo, principal: Principal
) -> AskedJob:
    """What a client asks for that does not wait.

    Raises:
        InvalidRequestError: With one detail for each field that is wrong.
    """
    async with receiving(request) as fields:
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
            message = "; ".join(each.message for each in problems)
            raise InvalidRequestError(message, details=problems)
        read_name = partial(read_idempotency, request, fields, names_job=True)
        idempotency = await asyncio.to_thread(read_name)
        given = given_pictures(request, services, model, principal, ordered[0])
        begun = await _begin(request, *ordered, given)
        return AskedJob(*begun, idempotency, url, secret)


@contextlib.asynccontextmanager
async def receiving(request: Request) -> AsyncIterator[Fields]:
    """The fields of a body; one that is large because of a picture keeps its place until then.

    Raises:
        InvalidRequestError: As `read_fields`; and without a picture, a body is not to be large.
    """
    is_large = False
    async with contextlib.AsyncExitStack() as places:

        async def make_room() -> None:
            nonlocal is_large
            is_large = True
            await places.enter_async_context(sources_of(request).large_bodies)

        fields = await read_fields(
            request,
            timeout_s=request.app.state.body_timeout_s,
            max_bytes=MAX_UPLOAD_BYTES,
            make_room=make_room,
        )
        if is_large and not any(fields.get(name) for name in ("image", "image[]")):
            raise PayloadTooLargeError(
                f"the body is larger than {MAX_BODY_BYTES} bytes, and holds no image"
            )
        yield fields


def sources_of(request: Request) -> Sources:
    """What reads the pictures of requests."""
    return cast(Sources, request.app.state.sources)


@contextlib.contextmanager
def _collecting(problems: list[ErrorDetail]) -> Iterator[None]:
    try:
        yield
    except InvalidRequestError as error:
        problems += error.details


async def _begin(
    request: Request, wanted: GenerateRequest, order: Order, given: Given
) -> tuple[GenerateRequest, Order]:
    """Read the pictures of a request that is right in all else."""
    if not wanted.image:
        return wanted, order
    order = await sources_of(request).read(order, given)
    return replace(wanted, image="", mask=""), order


def given_pictures(
    request: Request,
    services: Services,
    model: ModelInfo,
    principal: Principal,
    wanted: GenerateRequest,
) -> Given:
    """What a request begins from, in the words of who reads it."""
    return Given(
        image=wanted.image,
        mask=wanted.mask,
        strength=wanted.prompt_strength,
        account_id=principal.account_id,
        files_url=links_of(request, services.settings).files,
        fit=partial(model.size_like, megapixels=wanted.megapixels),
    )


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
