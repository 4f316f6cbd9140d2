"""A client's own name for a request that it may send again.

The header and the fields of a body come in, an `IdempotencyKey` goes out. What the same request
again means is the generation's to say.

Source: draft-ietf-httpapi-idempotency-key-header-06; its quotation marks are not asked for.
"""

import hashlib
import json
import re

from starlette.requests import Request

from photogram.api.body import Fields
from photogram.api.schemas import given_fields
from photogram.core.errors import ErrorDetail, InvalidRequestError
from photogram.generation.orders import IdempotencyKey

HEADER = "Idempotency-Key"
REPLAYED = {"Idempotency-Replayed": "true"}
"""Headers of an answer that was given before."""

PARAMETER = {
    "parameters": [
        {
            "name": HEADER,
            "in": "header",
            "description": "Your own name for this request: the same again is not billed again.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }
    ]
}
"""The header, for the OpenAPI document."""

_KEY = re.compile(r"[!-~]{1,255}")


def read_idempotency(
    request: Request, fields: Fields, *, names_job: bool = False
) -> IdempotencyKey | None:
    """The name of a request, with the fingerprint of what it asks for; None where it has none.

    Args:
        request: What is asked; its path is a part of the fingerprint.
        fields: Its body as it was given: without defaults, before a seed is drawn.
        names_job: The answer is the job, not its pictures.

    Raises:
        InvalidRequestError: The header is no such name, or there are two.
    """
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or _KEY.fullmatch(given[0]) is None:
        message = f"{HEADER} must be one word of 1 to 255 visible ASCII characters"
        raise InvalidRequestError(message, details=[ErrorDetail(HEADER, message)])
    return IdempotencyKey(given[0], _fingerprint(request.url.path, fields), names_job)


def _fingerprint(path: str, fields: Fields) -> str:
    """SHA-256, in hex, of the path and of the fields in one canonical spelling."""
    spelled = json.dumps(given_fields(fields), sort_keys=True, separators=(",", ":"), default=_sha)
    return hashlib.sha256(f"{path}\n{spelled}".encode()).hexdigest()


def _sha(file: object) -> str:
    """A form's file."""
    if not isinstance(file, bytes):
        raise TypeError(f"a body holds no {type(file).__name__}")
    return hashlib.sha256(file).hexdigest()
