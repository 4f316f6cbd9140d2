"""A request's body: bytes from the socket in, the fields of one flat object out.

Size and time are limited while the bytes arrive, because ``Content-Length`` may lie or be missing.
JSON is read strictly and under any content type; form fields are read as text. Knows nothing of
which fields there are.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import Receive

from photogram.api.errors import BodyTimeoutError, ClientGoneError
from photogram.core.errors import (
    InvalidRequestError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
)

MAX_BODY_BYTES = 1024 * 1024
BODY_TIMEOUT_S = 15.0
MAX_DEPTH = 8
MAX_FIELDS = 100
# A body without files that is as large is read to its end and thrown away, so that clients that
# write first and read later still get to see the 413.
MAX_UPLOAD_BYTES = 20 * 1024 * 1024
MAX_COMMAS = 10_000
"""In JSON that is larger than `MAX_BODY_BYTES`: it is large because of its texts, not of their number."""

_MAX_NAME_CHARACTERS = 40

Fields = dict[str, object]


async def read_fields(
    request: Request,
    *,
    timeout_s: float,
    max_bytes: int = MAX_BODY_BYTES,
    make_room: Callable[[], Awaitable[object]] | None = None,
) -> Fields:
    """Read the body and parse it.

    A form's file arrives as bytes, all its other fields as text.

    Args:
        request: Nothing of its body may have been read yet.
        timeout_s: Seconds within which the body has to be complete.
        max_bytes: How large it may be; at most `MAX_UPLOAD_BYTES`.
        make_room: Waited for once it is known that the body is larger than `MAX_BODY_BYTES`.

    Raises:
        PayloadTooLargeError: It is larger.
        BodyTimeoutError: Not complete in time.
        UnsupportedMediaTypeError: Neither JSON nor a multipart form.
        InvalidRequestError: Broken JSON, or no object.
        ClientGoneError: The client hung up before its body was complete.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaTypeError("the body is compressed; send it as it is")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await _read_body(request, timeout_s, max_bytes, make_room)
    if content_type == "multipart/form-data":
        return await _parse_form(request, body)
    if not _may_be_json(content_type, body):
        if len(body) > MAX_BODY_BYTES:
            raise _too_large(MAX_BODY_BYTES)
        raise UnsupportedMediaTypeError(
            f"a body of type {content_type[:100]} cannot be read; send a JSON object"
        )
    if len(body) <= MAX_BODY_BYTES:
        return parse_json(body)
    return await asyncio.to_thread(parse_json, body)


async def _read_body(
    request: Request,
    timeout_s: float,
    max_bytes: int,
    make_room: Callable[[], Awaitable[object]] | None,
) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and len(declared) < 20 and int(declared) > MAX_UPLOAD_BYTES:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(timeout_s) as limit:
            return await _collect(request.receive, max_bytes, _untimed(make_room, limit))
    except TimeoutError:
        raise BodyTimeoutError(f"the body did not arrive within {timeout_s:g} seconds") from None


def _untimed(
    make_room: Callable[[], Awaitable[object]] | None, limit: asyncio.Timeout
) -> Callable[[], Awaitable[object]] | None:
    """The same, whose wait is the server's and not the client's."""
    if make_room is None:
        return None

    async def wait() -> None:
        began, end = asyncio.get_running_loop().time(), limit.when()
        limit.reschedule(None)
        await make_room()
        if end is not None:
            limit.reschedule(end + asyncio.get_running_loop().time() - began)

    return wait


async def _collect(
    receive: Receive, max_bytes: int, make_room: Callable[[], Awaitable[object]] | None
) -> bytes:
    body = bytearray()
    num_received = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = message.get("body", b"")
        if make_room is not None and num_received <= MAX_BODY_BYTES < num_received + len(chunk):
            await make_room()
        num_received += len(chunk)
        if num_received <= max_bytes:
            body += chunk
        elif num_received > MAX_UPLOAD_BYTES:
            break
        more = message.get("more_body", False)
    if num_received > max_bytes:
        raise _too_large(max_bytes)
    return bytes(body)


def _too_large(max_bytes: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(f"the body is larger than {max_bytes} bytes")


def _may_be_json(content_type: str, body: bytes) -> bool:
    if not content_type or content_type == "application/json" or content_type.endswith("+json"):
        return True
    # `curl -d` and many others call a JSON body a form or plain text; nothing is no type at all.
    return body.lstrip()[:1] in {b"{", b"[", b""}


def parse_json(body: bytes) -> Fields:
    """Parse one JSON object strictly: UTF-8, no repeated name, with limits on its shape.

    It has at most `MAX_FIELDS` fields of its own, and `MAX_DEPTH` levels.

    Raises:
        InvalidRequestError: With what is wrong and where.
    """
    if len(body) > MAX_BODY_BYTES and body.count(b",") > MAX_COMMAS:
        raise InvalidRequestError(
            f"the body has more than {MAX_COMMAS} commas; of its size, it may hold few values"
        )
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"the body is not UTF-8 (byte {error.start})") from None
    if not text.strip():
        raise InvalidRequestError("the body is empty; send a JSON object")
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise InvalidRequestError(f"the body is not valid JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise InvalidRequestError("the body holds a number of too many digits") from None
    if not isinstance(value, dict):
        raise InvalidRequestError("the body must be a JSON object")
    if len(value) > MAX_FIELDS:
        raise InvalidRequestError(f"the body has {len(value)} fields; it may have {MAX_FIELDS}")
    _check_depth(value)
    return value


def _unique(pairs: list[tuple[str, object]]) -> Fields:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        # Readers differ in which of the two they take, so neither is right.
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequestError(f"the body names a field twice: {twice[:_MAX_NAME_CHARACTERS]!r}")
    return fields


def _check_depth(value: object) -> None:
    containers = [value]
    for _ in range(MAX_DEPTH):
        containers = [
            child
            for container in containers
            for child in _children(container)
            if isinstance(child, dict | list)
        ]
        if not containers:
            return
    raise _too_deep()


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep() -> InvalidRequestError:
    return InvalidRequestError(f"the body is nested deeper than {MAX_DEPTH} levels")


async def _parse_form(request: Request, body: bytes) -> Fields:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await MultiPartParser(
            request.headers,
            stream(),
            max_files=MAX_FIELDS,
            max_fields=MAX_FIELDS,
            max_part_size=MAX_UPLOAD_BYTES,
        ).parse()
    except MultiPartException as error:
        raise InvalidRequestError(f"the form cannot be read: {error.message}") from None
    try:
        fields = _unique(list(form.multi_items()))
        for name, value in fields.items():
            if isinstance(value, UploadFile):
                fields[name] = await value.read()
    finally:
        await form.close()
    return fields
