"""What happens to every request before any route sees it, and to every answer after.

From the outside in: `Bookkeeper` (id, headers, log line), `Cors`, `Guard` (limits of headers, and a
JSON answer where the code failed). They are plain ASGI, because they must neither read bodies nor
hold answers back.
"""

import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from photogram.api.context import RequestContext, open_context
from photogram.api.errors import HeadersTooLargeError, error_response
from photogram.api.metrics import RequestCounts
from photogram.core.errors import PhotogramError, StorageError
from photogram.core.ids import is_sane, new_id
from photogram.ledger.pricing import format_credits
from photogram.ledger.service import LedgerService

MAX_HEADER_BYTES = 16 * 1024
MAX_HEADERS = 100

ALLOWED_HEADERS = (
    *("x-api-key", "content-type", "accept", "authorization", "idempotency-key"),
    *("access-control-allow-origin", "prefer", "x-request-id", "last-event-id"),
    # SDKs that run in browsers send headers of their own; only `authorization` has to be named.
    "*",
)
EXPOSED_HEADERS = (
    *("x-request-id", "x-remaining-credits", "x-cost", "x-seed-value", "x-generation-time"),
    *("x-queue-time", "x-steps-executed", "x-output-metadata", "x-model", "x-prompt-tokens"),
    *("x-prompt-truncated", "x-ignored-parameters", "content-disposition", "retry-after"),
    *("idempotency-replayed", "etag"),
    *("www-authenticate", "allow", "ratelimit", "ratelimit-policy"),
)
_PREFLIGHT_MAX_AGE_S = 600

_log = structlog.get_logger(__name__)


class Bookkeeper:
    """Gives a request its id and its answer the headers that all answers have; logs one line.

    A HEAD is served as its GET, without the body.
    """

    def __init__(
        self, app: ASGIApp, ledger: LedgerService, counts: RequestCounts | None = None
    ) -> None:
        self._app = app
        self._ledger = ledger
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        client_id = Headers(scope=scope).get("x-request-id", "")
        inner = {**scope, "method": "GET" if scope["method"] == "HEAD" else scope["method"]}
        context = open_context(inner, client_id if is_sane(client_id) else new_id())
        status = 0

        async def send_dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                await self._dress(context, MutableHeaders(scope=message))
            elif scope["method"] == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=context.request_id):
            try:
                await self._app(inner, receive, send_dressed)
            finally:
                seconds = time.perf_counter() - started
                _log_request(inner, scope["method"], context, status, seconds)
                if self._counts is not None:
                    self._counts.count(_route(inner), scope["method"], status, seconds)

    async def _dress(self, context: RequestContext, headers: MutableHeaders) -> None:
        headers["x-request-id"] = context.request_id
        headers["x-content-type-options"] = "nosniff"
        headers.setdefault("cache-control", "no-store")
        if context.principal is None:
            return
        if context.allowance is not None:
            headers.update(context.allowance.headers)
        if context.remaining_micro is None:
            try:
                account_id = context.principal.account_id
                context.remaining_micro = await self._ledger.remaining(account_id)
            except StorageError:
                return  # the answer matters more than this header
        headers["x-remaining-credits"] = format_credits(context.remaining_micro)


def _route(scope: Scope) -> str | None:
    """What the path has matched; the path itself is the client's text, this is ours."""
    return getattr(scope.get("route"), "path", None)


def _log_request(
    scope: Scope, method: str, context: RequestContext, status: int, seconds: float
) -> None:
    principal = context.principal
    _log.info(
        "request",
        method=method,
        route=_route(scope),
        status=status,
        code=context.error_code,
        ms=round(seconds * 1000, 1),
        account=principal.account_id if principal else None,
        key_id=principal.key_id if principal else None,
    )


class Cors:
    """Lets pages of any origin call the API, with keys in headers; sessions are for our own alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "origin" not in (headers := Headers(scope=scope)):
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight()(scope, receive, send)
        else:
            await self._app(scope, receive, _sender_to_any_origin(send))


def _preflight() -> Response:
    return Response(
        status_code=204,
        headers={
            "access-control-allow-origin": "*",
            "access-control-allow-methods": "GET, HEAD, POST, DELETE, OPTIONS",
            "access-control-allow-headers": ", ".join(ALLOWED_HEADERS),
            "access-control-max-age": str(_PREFLIGHT_MAX_AGE_S),
        },
    )


def _sender_to_any_origin(send: Send) -> Send:
    async def send_to_any_origin(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = "*"
            headers["access-control-expose-headers"] = ", ".join(EXPOSED_HEADERS)
        await send(message)

    return send_to_any_origin


class Guard:
    """Refuses headers out of all measure, and answers in JSON where the code itself failed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        num_bytes = sum(len(name) + len(value) for name, value in scope["headers"])
        if num_bytes > MAX_HEADER_BYTES or len(scope["headers"]) > MAX_HEADERS:
            limits = f"{MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes in all"
            error = HeadersTooLargeError(f"the headers are too large; the limit is {limits}")
            await error_response(request, error)(scope, receive, send)
            return
        is_started = False

        async def send_watched(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_watched)
        except Exception:
            _log.exception("the server failed on a request")
            if is_started:
                raise
            failure = PhotogramError("the server failed on this request")
            await error_response(request, failure)(scope, receive, send)
