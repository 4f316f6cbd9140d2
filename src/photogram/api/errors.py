"""Errors as answers: one JSON shape for every error, and one status per family.

`core.errors` says what went wrong; here it gets its HTTP status and headers. The text of `error`
is one string, because the SDKs of callers print that and nothing else; only OpenAI's paths have
OpenAI's shape.
"""

import math
import re
from collections.abc import Mapping

from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from photogram.api.context import context_of
from photogram.core.errors import (
    AuthenticationError,
    ConflictError,
    DeadlineExceededError,
    EngineFailedError,
    EngineOverloadedError,
    InsufficientCreditsError,
    InvalidRequestError,
    MethodNotAllowedError,
    ModelUnavailableError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    PhotogramError,
    RateLimitedError,
    StorageError,
    UnsupportedMediaTypeError,
)

CLIENT_CLOSED = 499
CLIENT_GONE = "client_gone"
"""Status and code for the log only: the client left, so there is nobody to answer."""

_DEFAULT_RETRY_AFTER_S = 1.0
_OPENAI_PATH = re.compile(r"/v1/(images|models)(/.*)?")
_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    406: "insufficient_quota",
    429: "rate_limit_error",
}


class BodyTimeoutError(InvalidRequestError):
    """The request's body did not arrive in time."""

    code = "request_timeout"


class HeadersTooLargeError(InvalidRequestError):
    """The request's headers are too large."""

    code = "headers_too_large"


class ClientGoneError(Exception):
    """The client hung up before its answer was ready."""


STATUSES: Mapping[type[PhotogramError], int] = {
    InvalidRequestError: 400,
    AuthenticationError: 401,
    PermissionDeniedError: 403,
    NotFoundError: 404,
    MethodNotAllowedError: 405,
    InsufficientCreditsError: 406,
    BodyTimeoutError: 408,
    ConflictError: 409,
    PayloadTooLargeError: 413,
    UnsupportedMediaTypeError: 415,
    RateLimitedError: 429,
    HeadersTooLargeError: 431,
    EngineFailedError: 500,
    EngineOverloadedError: 503,
    ModelUnavailableError: 503,
    StorageError: 503,
    DeadlineExceededError: 504,
    PhotogramError: 500,
}


def status_of(error: PhotogramError) -> int:
    """The HTTP status of an error: that of the nearest family it belongs to."""
    return next(STATUSES[family] for family in type(error).__mro__ if family in STATUSES)


def error_body(error: PhotogramError, request_id: str) -> dict[str, object]:
    """The one shape of every error."""
    details = []
    for detail in error.details:
        limits = {"min": detail.min, "max": detail.max, "allowed": detail.allowed}
        known = {name: limit for name, limit in limits.items() if limit is not None}
        details.append({"field": detail.field, "message": detail.message, **known})
    return {
        "error": error.message,
        "code": error.error_code,
        "request_id": request_id,
        "details": details,
    }


def openai_error_body(error: PhotogramError) -> dict[str, object]:
    """The shape of errors that OpenAI's clients read."""
    status = status_of(error)
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": error.message,
            "type": _OPENAI_TYPES.get(status, kind),
            "param": error.details[0].field if error.details else None,
            "code": error.error_code,
        }
    }


def error_response(request: Request, error: PhotogramError, **extra: object) -> JSONResponse:
    """An error as an answer, with the headers that its status calls for.

    Args:
        request: What is answered.
        error: What went wrong.
        **extra: Further members of the body.
    """
    context = context_of(request.scope)
    context.error_code = error.error_code
    status = status_of(error)
    is_openai = _OPENAI_PATH.fullmatch(request.scope["path"]) is not None
    body = openai_error_body(error) if is_openai else error_body(error, context.request_id)
    response = JSONResponse(body | extra, status)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="photogram"'
    if status in (429, 503) or error.retry_after_s is not None:
        wait_s = error.retry_after_s or _DEFAULT_RETRY_AFTER_S
        response.headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
    if status in (408, 413, 431):
        # What is left of such a request is not worth reading.
        response.headers["Connection"] = "close"
    return response


async def answer_photogram_error(request: Request, error: PhotogramError) -> Response:
    """Handler of the errors that we raise."""
    return error_response(request, error)


async def answer_routing_error(request: Request, error: HTTPException) -> Response:
    """Handler of the router's own errors: an unknown path, or a method that it does not answer."""
    if error.status_code == 405:
        return _method_not_allowed(request)
    if error.status_code == 404:
        names = ", ".join(request.app.state.services.generation.catalogue.names)
        message = f"there is nothing at this path; POST /v1/MODEL makes pictures, of: {names}"
        return error_response(request, NotFoundError(message))
    return error_response(request, InvalidRequestError(error.detail))


def _method_not_allowed(request: Request) -> Response:
    # The router itself names only the methods of the first route of this path.
    methods = {
        method
        for route in iter_route_contexts(request.app.routes)
        if route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
    if "GET" in methods:
        methods.add("HEAD")
    allowed = ", ".join(sorted({*methods, "OPTIONS"}))
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": allowed})
    response = error_response(
        request, MethodNotAllowedError(f"this path answers only to {allowed}")
    )
    response.headers["Allow"] = allowed
    return response


async def answer_nobody(request: Request, _error: ClientGoneError) -> Response:
    """Handler of a client that hung up; the answer goes nowhere, the status into the log."""
    context_of(request.scope).error_code = CLIENT_GONE
    return Response(status_code=CLIENT_CLOSED)
