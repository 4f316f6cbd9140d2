"""The words of the headers ``Accept`` and ``Prefer``, read into decisions.

``Accept`` chooses the envelope of an answer only, never the pixel format, and never refuses.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from photogram.core.errors import ErrorDetail, InvalidRequestError

WholeEnvelope = Literal["image", "json", "multipart", "zip"]
"""Forms that are sent once all is done; only ``image`` is for one picture alone."""

Envelope = WholeEnvelope | Literal["events"]
"""All forms; events are told as they happen."""

_ENVELOPES: dict[str, Envelope] = {
    "*/*": "image",
    "application/json": "json",
    "application/*": "json",
    "multipart/mixed": "multipart",
    "application/zip": "zip",
    "text/event-stream": "events",
}

MAX_WAIT_S = 86_400

_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)


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
    """The form in which pictures go out: the one that the client likes best and that holds them.

    Args:
        accept: The values of all ``Accept`` headers.
        num_samples: The bytes of a picture can hold one only.
        wants_base64: JSON, whatever `accept` says.

    Raises:
        InvalidRequestError: Several pictures, for a client that takes nothing but one.
    """
    if wants_base64:
        return "json"
    types = _accepted_types(accept)
    takes_image = any(_envelope_of(name) == "image" for name in types)
    for name in types:
        envelope = _envelope_of(name)
        if num_samples > 1 and name == "*/*":
            return "json"
        if envelope is None or (num_samples > 1 and envelope == "image"):
            continue
        if envelope == "json" and num_samples == 1 and takes_image:
            return "image"  # axios names JSON before `*/*`, and is used to a picture
        return envelope
    if num_samples == 1:
        return "image"
    if types and all(name.startswith("image/") for name in types):
        raise InvalidRequestError(
            f"samples is {num_samples}, and one image cannot hold that many: accept "
            "application/json, multipart/mixed or application/zip, or ask for samples=1",
            code="multi_sample_needs_container",
            details=[ErrorDetail("samples", "more than one needs a container")],
        )
    return "json"


def _envelope_of(name: str) -> Envelope | None:
    return "image" if name.startswith("image/") else _ENVELOPES.get(name)


def _accepted_types(accept: Sequence[str]) -> list[str]:
    """What is accepted at all, the best liked first; of equals, the first named."""
    types = []
    for entry in ",".join(accept).split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = min(map(_quality, parameters), default=1.0)
        if name and quality > 0:
            types.append((quality, name))
    return [name for _, name in sorted(types, key=lambda each: -each[0])]


def _quality(parameter: str) -> float:
    key, _, value = parameter.partition("=")
    if key.strip() == "q" and _QUALITY.fullmatch(value.strip()):
        return float(value)
    return 1.0


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
