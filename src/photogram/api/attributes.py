"""The attributes of a request for pictures: one table, from which everything else follows.

Validation, the OpenAPI document and the table in ``docs/api.md`` are all made from `ATTRIBUTES`.
A value comes in as parsed JSON (or as the text of a form field) and goes out as the plain type of
its attribute; nothing is clamped or rounded. Knows nothing of HTTP or prices.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, cast

from photogram.core.errors import ErrorDetail
from photogram.core.messages import Adapter, ModelInfo

Value = str | int | float | bool | bytes | tuple[Adapter, ...]

MAX_SEED = 2**53 - 1
"""The largest whole number that every JSON reader keeps exactly."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_MAX_NUMBER_CHARACTERS = 64
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_MAX_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its type, its limits and its words.

    Attributes:
        kind: How a value is read; see `read`.
        default: What an omitted attribute (or null) means; None: it has to be given. Of a picture,
            nothing is none.
        minimum: Smallest value (of a text: fewest characters), itself allowed.
        maximum: Largest value (of a text: most characters; of a list: most items), itself allowed.
        choices: Allowed values (of a list: names); of a choice without any, they are the model's to
            say.
        synonyms: Other spellings that are read as one of `choices`.
        price: How the attribute moves the price; empty where it does not.
    """

    name: str
    kind: Literal["text", "integer", "number", "choice", "flag", "picture", "list"]
    default: Value | None
    note: str
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    synonyms: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    price: str = ""

    @property
    def wanted(self) -> str:
        """The allowed values in words."""
        limits = f"from {self.minimum} to {self.maximum}"
        match self.kind:
            case "text":
                return f"text of {self.minimum} to {self.maximum} characters"
            case "integer" | "number":
                return f"a {'whole ' if self.kind == 'integer' else ''}number {limits}"
            case "choice":
                return f"one of {', '.join(self.choices)}" if self.choices else "the model's own"
            case "flag":
                return "true or false"
            case "list":
                return f'a list of at most {self.maximum} objects `{{"name", "scale"}}`'
            case "picture":
                return "a picture, as a file, a data URL, base64, or the address of an upload"

    def problem(self, message: str) -> ErrorDetail:
        """An error about this attribute, with its limits."""
        return ErrorDetail(self.name, message, self.minimum, self.maximum, self.choices or None)


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute(
        "prompt",
        "text",
        None,
        "What to paint, in any script. Trimmed and normalised (NFC); control characters other "
        "than newline and tab are refused. Longer than the model reads: cut, and said so in "
        "`x-prompt-truncated`.",
        minimum=1,
        maximum=10_000,
    ),
    Attribute(
        "samples",
        "integer",
        1,
        "Pictures. Sample *i* (from 0) has the seed `seed + i`, and the same pixels as a request "
        "of its own with that seed.",
        minimum=1,
        maximum=4,
        price="linear",
    ),
    Attribute(
        "guidance",
        "number",
        3.5,
        "How closely to follow the prompt. A model without guidance, such as FLUX.1 [schnell], "
        "ignores it, and says so.",
        minimum=0,
        maximum=10,
        price="slightly",
    ),
    Attribute(
        "steps",
        "integer",
        25,
        "Denoising steps; exactly that many run. A model may have its own default and limit, such as "
        "4 and 12 for FLUX.1 [schnell]; `GET /v1/models` says.",
        minimum=1,
        maximum=50,
        price="linear",
    ),
    Attribute(
        "prompt_strength",
        "number",
        0.8,
        "With `image`: how much of it is painted anew. The first `floor((1 - prompt_strength) * steps)` "
        "steps are left out; 1 leaves out none, 0 all. Without `image` it has no effect.",
        minimum=0,
        maximum=1,
        price="by the steps left out",
    ),
    Attribute(
        "aspect_ratio",
        "choice",
        "1:1",
        'Shape of the picture. `"1"` and `""` mean `1:1`. An `image` has its own shape.',
        choices=(
            *("1:1", "16:9", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21"),
            *("3:4", "4:3"),
        ),
        synonyms=MappingProxyType({"1": "1:1", "": "1:1"}),
    ),
    Attribute(
        "seed",
        "integer",
        46588,
        "Same seed, same picture. Only its low 32 bits count: `seed` and `seed + 4294967296` paint "
        "the same. -1 draws a seed; `x-seed-value` says which.",
        minimum=-1,
        maximum=MAX_SEED,
    ),
    Attribute(
        "output_format",
        "choice",
        "webp",
        "File format; `jpeg` is `jpg`.",
        choices=("webp", "jpg", "png"),
        synonyms=MappingProxyType({"jpeg": "jpg"}),
    ),
    Attribute(
        "output_quality",
        "integer",
        80,
        "Quality of webp and jpg; png is lossless and ignores it.",
        minimum=0,
        maximum=100,
    ),
    Attribute(
        "megapixels",
        "choice",
        "1",
        "`1`: the model's native sizes. `0.25`: both sides halved.",
        choices=("1", "0.25"),
        synonyms=MappingProxyType({"1.0": "1"}),
        price="a quarter at `0.25`",
    ),
    Attribute(
        "base64",
        "flag",
        False,
        "Answer in JSON, whatever `Accept` says.",
    ),
    Attribute(
        "previews",
        "integer",
        0,
        "In an event stream: so many previews of each picture, evenly spread over its steps, "
        "rough and at most 256 pixels long. They change nothing of the picture. A busy server leaves "
        "some out; other forms of the answer have none.",
        minimum=0,
        maximum=10,
    ),
    Attribute(
        "loras",
        "list",
        (),
        "[Adapters](#adapters) that change how the model paints: each a `name` that `GET /v1/models` "
        "lists and a `scale` from 0 to 2 (1 if left out), none twice, in any order. In a form: the "
        "list as JSON.",
        maximum=4,
    ),
    Attribute(
        "image",
        "picture",
        "",
        "What the pictures [begin from](#pictures-from-pictures), instead of from noise alone.",
        price="by the steps left out",
    ),
    Attribute(
        "mask",
        "picture",
        "",
        "With `image`, and of its size: only what is white in it is painted anew.",
    ),
)

_SCALE = Attribute("scale", "number", 1.0, "How strong an adapter is.", minimum=0, maximum=2)


def attributes_of(
    model: ModelInfo, attributes: Iterable[Attribute] = ATTRIBUTES
) -> tuple[Attribute, ...]:
    """The table for one model: with its own steps, and without a guidance that it does not have."""
    return tuple(
        replace(each, default=model.default_steps, maximum=model.max_steps)
        if each.name == "steps"
        else each
        for each in attributes
        if model.has_guidance or each.name != "guidance"
    )


def read(attribute: Attribute, value: object) -> Value:
    """Turn a given (not null) value into the attribute's own type.

    Numbers in strings and whole floats are coerced; a boolean is no number.

    Raises:
        ValueError: With a sentence that names the attribute, what is allowed and what was given.
    """
    match attribute.kind:
        case "text":
            return _read_text(attribute, value)
        case "integer" | "number":
            return _read_number(attribute, value)
        case "choice":
            return _read_choice(attribute, value)
        case "flag":
            return _read_flag(attribute, value)
        case "list":
            return _read_adapters(attribute, value)
        case "picture":
            return _read_picture(attribute, value)


def _read_text(attribute: Attribute, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(attribute, value)
    # Forms and Windows write a newline as two characters; it is one.
    text = value.replace("\r\n", "\n")
    if control := _CONTROLS.search(text):
        raise ValueError(
            f"{attribute.name} holds the control character U+{ord(control[0]):04X}; "
            "only newline and tab are allowed"
        )
    if _SURROGATES.search(text):
        raise ValueError(f"{attribute.name} holds half of a surrogate pair, which is no character")
    text = text.strip()
    if not attribute.minimum <= len(text) <= attribute.maximum:  # type: ignore[operator] # texts have both
        raise ValueError(
            f"{attribute.name} must be {attribute.wanted}, got {len(text)} after trimming"
        )
    return unicodedata.normalize("NFC", text)


def _read_number(attribute: Attribute, value: object) -> int | float:
    number = _parse_number(value)
    # NaN compares as false, so it is out of every range.
    if number is None or not attribute.minimum <= number <= attribute.maximum:  # type: ignore[operator] # numbers have both
        raise _wrong(attribute, value)
    if attribute.kind == "number":
        return number + 0.0  # -0.0 becomes 0.0: one value, one picture
    if number != int(number):
        raise _wrong(attribute, value)
    return int(number)


def _parse_number(value: object) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and len(value) <= _MAX_NUMBER_CHARACTERS:
        text = value.strip()
        if _WHOLE.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text):
            return float(text)
    return None


def _read_choice(attribute: Attribute, value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        value = attribute.synonyms.get(value, value)
        if value in attribute.choices:
            return value
    raise _wrong(attribute, value)


def _read_flag(attribute: Attribute, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):  # how a form field says it
        return value == "true"
    raise _wrong(attribute, value)


def _read_adapters(attribute: Attribute, value: object) -> tuple[Adapter, ...]:
    if isinstance(value, str):  # how a form field says it
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise _wrong(attribute, value) from None
    if not isinstance(value, list | tuple) or len(value) > attribute.maximum:  # type: ignore[operator] # lists have one
        raise _wrong(attribute, value)
    adapters = tuple(_read_adapter(attribute, item) for item in value)
    names = [adapter.name for adapter in adapters]
    for name in names:
        if name not in attribute.choices:
            offered = ", ".join(attribute.choices) or "none"
            raise ValueError(
                f"{attribute.name} names {_shown(name)}, which is not here; there are: {offered}"
            )
        if names.count(name) > 1:
            raise ValueError(f"{attribute.name} names {_shown(name)} twice")
    return adapters


def _read_adapter(attribute: Attribute, value: object) -> Adapter:
    match value:
        case Adapter():
            return value
        case {"name": str(name), **others} if others.keys() <= {_SCALE.name}:
            scale = others.get(_SCALE.name)
            try:
                read_scale = read(_SCALE, _SCALE.default if scale is None else scale)
            except ValueError as error:
                raise ValueError(f"{attribute.name}: of {_shown(name)}, {error}") from None
            return Adapter(name, cast(float, read_scale))
    raise ValueError(
        f"{attribute.name} must be {attribute.wanted}, and {_shown(value)} is not one of them"
    )


def _read_picture(attribute: Attribute, value: object) -> str | bytes:
    """What it is of, and where, is found out later, when all else is right."""
    if isinstance(value, str | bytes) and (value or attribute.default is not None):
        return value
    raise _wrong(attribute, value)


def _wrong(attribute: Attribute, value: object) -> ValueError:
    return ValueError(f"{attribute.name} must be {attribute.wanted}, got {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, bytes):
        return "a file"
    text = json.dumps(value)
    if len(text) > _MAX_SHOWN_CHARACTERS:
        return f"{text[:_MAX_SHOWN_CHARACTERS]}…"
    return text
