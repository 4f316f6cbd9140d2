"""The words of the headers ``Accept`` and ``Prefer``, read into decisions.

``Accept`` chooses the envelope of an answer only, never the pixel format, and never refuses.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from photogram.core.errors import ErrorDetail, InvalidRequestError

Envelope = Literal["image", "json"]

MAX_WAIT_S = 86_400


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a client asked for in ``Prefer`` (RFC 7240).

    Attributes:
        is_strict: ``handling=strict``: unknown attributes are errors.
        wait_s: ``wait=N``: the client's deadline in seconds.
    """

    is_strict: bool = False
    wait_s: float | None = None


def choose_envelope(accept: Sequence[str], *, num_samples: int, wants_base64: bool) -> Envelope:
    """Whether pictures go out as bytes or in JSON.

    Args:
        accept: The values of all ``Accept`` headers.
        num_samples: Bytes can hold one picture only.
        wants_base64: JSON, whatever `accept` says.

    Raises:
        InvalidRequestError: Several pictures, for a client that takes nothing but one.
    """
    types = list(_accepted_types(accept))
    takes_image = any(name == "*/*" or name.startswith("image/") for name in types)
    takes_json = any(name in ("application/json", "application/*") for name in types)
    if wants_base64 or (takes_json and not takes_image):
        return "json"
    if num_samples == 1:
        return "image"
    if types and all(name.startswith("image/") for name in types):
        raise InvalidRequestError(
            f"samples is {num_samples}, and one image cannot hold that many: accept "
            "application/json, or ask for samples=1",
            code="multi_sample_needs_container",
            details=[ErrorDetail("samples", "more than one needs a JSON answer")],
        )
    return "json"


def _accepted_types(accept: Sequence[str]) -> Iterator[str]:
    for entry in ",".join(accept).split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        if name and not any(_is_zero_quality(parameter) for parameter in parameters):
            yield name


def _is_zero_quality(parameter: str) -> bool:
    key, _, value = parameter.partition("=")
    return key.strip() == "q" and value.strip() in ("0", "0.", "0.0", "0.00", "0.000")


def read_preferences(prefer: Sequence[str]) -> Preferences:
    """Read all ``Prefer`` headers; preferences that we do not know are left alone.

    Raises:
        InvalidRequestError: A deadline that is none. To ignore it would be to wait for ever.
    """
    is_strict = False
    wait_s: float | None = None
    for entry in ",".join(prefer).split(","):
        name, _, value = entry.partition(";")[0].partition("=")
        value = value.strip().strip('"')
        match name.strip().lower():
            case "handling":
                is_strict = value.lower() == "strict"
            case "wait":
                wait_s = _read_wait(value)
    return Preferences(is_strict, wait_s)


def _read_wait(value: str) -> float:
    if value.isascii() and value.isdecimal() and len(value) <= 5 and 1 <= int(value) <= MAX_WAIT_S:
        return float(value)
    message = f"Prefer: wait must be a whole number of seconds from 1 to {MAX_WAIT_S}"
    raise InvalidRequestError(message, details=[ErrorDetail("Prefer", message, 1, MAX_WAIT_S)])
