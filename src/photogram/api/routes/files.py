"""``GET /v1/files/{file_name}``: a picture of a job, or an upload, for whoever knows its name.

It needs no key, so that a browser can show it: a name is 128 random bits. A file never changes
under its name; after it has expired there is none. A picture can be had in every format.
"""

import asyncio
import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from photogram.api.deps import ServicesDep, hold_conversion
from photogram.api.openapi import error_responses
from photogram.api.queries import Query
from photogram.core import clock
from photogram.core.errors import ErrorDetail, InvalidRequestError
from photogram.core.messages import CONTENT_TYPES, ImageFormat

router = APIRouter()

_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})", re.ASCII)
_TYPES = ("image/webp", "image/jpeg", "image/png")
_OUTPUT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file; 206 with a part of it, where `Range` asks for one.",
        "content": {name: {"schema": {"type": "string", "format": "binary"}} for name in _TYPES},
    },
    304: {"description": "It is the one that `If-None-Match` names."},
}
_FORMATS: dict[str, ImageFormat] = {"webp": "webp", "jpg": "jpeg", "png": "png"}
_INPUT = {
    "parameters": [
        {"name": "file_name", "in": "path", "required": True, "schema": {"type": "string"}},
        {
            "name": "format",
            "in": "query",
            "description": "The same picture in this format; an upload has only its own.",
            "schema": {"type": "string", "enum": list(_FORMATS)},
        },
    ]
}


@router.get(
    "/v1/files/{file_name}",
    summary="A file",
    response_class=Response,
    dependencies=[Depends(hold_conversion)],
    responses=_OUTPUT | error_responses(400, 404, 429, 503),
    openapi_extra=_INPUT,
)
async def get_file(request: Request, services: ServicesDep) -> Response:
    """Its bytes, until it expires."""
    query = Query(request.query_params)
    image_format = _FORMATS.get(query.choice("format", tuple(_FORMATS)) or "")
    query.check()
    file, path = await services.generation.files.find(request.path_params["file_name"])
    is_converted = image_format is not None and CONTENT_TYPES[image_format] != file.content_type
    left_s = max(int((file.expires_at - clock.now()).total_seconds()), 0)
    headers = {
        "Cache-Control": f"private, max-age={left_s}, immutable",
        "ETag": f'"{file.sha256}{f"-{image_format}" if is_converted else ""}"',
        # Should it ever be taken for a page: it runs nothing.
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    known = ",".join(request.headers.getlist("if-none-match"))
    if headers["ETag"] in known or known.strip() == "*":
        return Response(status_code=304, headers=headers)
    if image_format is not None and is_converted:
        content = await asyncio.to_thread(_converted, path, image_format)
        return Response(content, headers=headers, media_type=CONTENT_TYPES[image_format])
    if not _is_sound(request.headers.get("range", ""), file.size_bytes):
        # It may be ignored, and then the answer needs no words of its own for what is wrong with it.
        others = [each for each in request.scope["headers"] if each[0] != b"range"]
        request.scope["headers"] = others
    return FileResponse(
        path,
        headers=headers,
        media_type=file.content_type,
        filename=None if image_format else file.file_name,  # who chooses a format, names the file
        content_disposition_type="inline",
    )


def _converted(path: Path, image_format: ImageFormat) -> bytes:
    """The picture in another format.

    Raises:
        InvalidRequestError: It is none of ours.
    """
    # Pillow is loaded with the first picture, and not by every server at its start.
    from photogram.imaging.convert import convert  # noqa: PLC0415 - as said

    try:
        return convert(path.read_bytes(), image_format)
    except ValueError as error:
        message = f"format must be left out: {error}"
        raise InvalidRequestError(message, details=[ErrorDetail("format", message)]) from None


def _is_sound(wanted: str, size_bytes: int) -> bool:
    """Whether one part of the file is asked for that it has."""
    found = _RANGE.fullmatch(wanted)
    if found is None:
        return False
    first, last = int(found[1]), int(found[2] or size_bytes)
    return first < size_bytes and first <= last
