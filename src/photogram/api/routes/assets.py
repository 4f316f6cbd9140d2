"""``POST /upload-asset``: pictures as data URLs come in, addresses that hold them for a time go out.

Its path and shapes are those of Segmind's SDK.
"""

import asyncio
from datetime import datetime

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.requests import Request

from photogram.api.body import MAX_UPLOAD_BYTES, read_fields
from photogram.api.deps import LIMITS, PrincipalDep, ServicesDep, hold_upload
from photogram.api.links import links_of
from photogram.api.openapi import error_responses
from photogram.api.sources import read_data_url
from photogram.core.errors import ErrorDetail, InvalidRequestError
from photogram.core.messages import ImageFormat

MAX_FILES = 10

router = APIRouter()

_INPUT = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["data_urls"],
                    "properties": {
                        "data_urls": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": MAX_FILES,
                            "items": {"type": "string", "description": "data:image/png;base64,…"},
                        }
                    },
                }
            }
        },
    }
}


class UploadAnswer(BaseModel):
    """Files that were kept, in the order in which they came."""

    file_urls: list[str] = Field(description="Whoever knows one may have the file, without a key.")
    expires_at: datetime = Field(description="The files are removed some time after it.")
    message: str


@router.post(
    "/upload-asset",
    summary="Keep pictures for a time",
    dependencies=[*LIMITS, Depends(hold_upload)],
    responses=error_responses(400, 401, 408, 413, 415, 429, 431, 503),
    openapi_extra=_INPUT,
)
async def upload(request: Request, services: ServicesDep, principal: PrincipalDep) -> UploadAnswer:
    """PNG, JPEG and WebP, by what is in them and not by what they are called."""
    timeout_s = request.app.state.body_timeout_s
    fields = await read_fields(request, timeout_s=timeout_s, max_bytes=MAX_UPLOAD_BYTES)
    contents = await asyncio.to_thread(_read_files, fields.get("data_urls"))
    files = await services.generation.files.upload(principal.account_id, contents)
    links = links_of(request, services.settings)
    return UploadAnswer(
        file_urls=[links.files + file.file_name for file in files],
        expires_at=files[0].expires_at,
        message=f"{len(files)} uploaded",
    )


def _read_files(given: object) -> list[tuple[ImageFormat, bytes]]:
    """The files, with what they are.

    Raises:
        InvalidRequestError: With one detail for each that is wrong.
    """
    if not isinstance(given, list) or not 0 < len(given) <= MAX_FILES:
        message = f"data_urls must be a list of 1 to {MAX_FILES} data URLs"
        raise InvalidRequestError(message, details=[ErrorDetail("data_urls", message)])
    files: list[tuple[ImageFormat, bytes]] = []
    problems: list[ErrorDetail] = []
    for number, url in enumerate(given):
        field = f"data_urls[{number}]"
        try:
            files.append(_read_file(url))
        except ValueError as error:
            problems.append(ErrorDetail(field, f"{field} {error}"))
    if problems:
        raise InvalidRequestError("; ".join(each.message for each in problems), details=problems)
    return files


def _read_file(url: object) -> tuple[ImageFormat, bytes]:
    # Pillow is loaded with the first upload, and not by every server at its start.
    from photogram.imaging.inspect import inspect_picture  # noqa: PLC0415 - as said

    data = read_data_url(url if isinstance(url, str) else "")
    return inspect_picture(data).image_format, data
