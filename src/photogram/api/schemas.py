"""The words of the API turned into ours.

The fields of a body come in, a `GenerateRequest` goes out, or one error that names every field
that is wrong. This is the only place where the outside words (`samples`, `steps`) meet the inside
ones (`num_images`, `num_steps`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal, cast
from urllib.parse import quote

from photogram.api.attributes import Attribute, Value, attributes_of, read
from photogram.api.body import Fields
from photogram.core.errors import ErrorDetail, InvalidRequestError
from photogram.core.ids import random_seed
from photogram.core.messages import Adapter, ImageFormat, ModelInfo
from photogram.generation.orders import Order

PIXEL_FACTORS = {"1": Decimal(1), "0.25": Decimal("0.25")}
"""`megapixels` -> its share of the price of a native picture."""

NO_GUIDANCE = 0.0
"""What a model without guidance is asked for with, so that it moves no price."""

_RANDOM_SEED = -1
_MAX_IGNORED_CHARACTERS = 1000
_MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """A valid request for pictures, in the words of the API.

    Attributes:
        seed: The seed of the first picture; a random one is drawn already.
        image: What it begins from, as it was given; empty: nothing.
        mask: The same of where it is painted anew; only with `image`.
        ignored: Names of fields that were given and have no effect; percent-encoded, because they
            are the client's text and go into headers.
    """

    prompt: str
    samples: int
    guidance: float
    steps: int
    prompt_strength: float
    aspect_ratio: str
    seed: int
    output_format: Literal["webp", "jpg", "png"]
    output_quality: int
    megapixels: Literal["1", "0.25"]
    base64: bool
    previews: int
    loras: tuple[Adapter, ...]
    image: str | bytes
    mask: str | bytes
    ignored: tuple[str, ...]

    def order(self, model: ModelInfo, wait_s: float | None) -> Order:
        """The same in the words of the inside; what it begins from is still to be read."""
        width, height = model.size(self.aspect_ratio, self.megapixels)
        image_format: ImageFormat = "jpeg" if self.output_format == "jpg" else self.output_format
        return Order(
            prompt=self.prompt,
            width=width,
            height=height,
            num_steps=self.steps,
            guidance=self.guidance,
            seed=self.seed,
            num_images=self.samples,
            image_format=image_format,
            quality=self.output_quality,
            pixel_factor=PIXEL_FACTORS[self.megapixels],
            timeout_s=wait_s,
            num_previews=self.previews,
            adapters=self.loras,
            model=model.slug,
        )


def read_request(
    fields: Fields,
    model: ModelInfo,
    *,
    is_strict: bool,
    useless: Sequence[str] = (),
    adapters: Iterable[str] = (),
) -> GenerateRequest:
    """Check every field of a body and turn it into a request.

    Args:
        fields: The body; null is the same as an omitted field.
        model: What it is for; a model without guidance ignores `guidance`.
        is_strict: A field without effect is an error.
        useless: Names of attributes that have no effect on this route.
        adapters: Names of those that the server has.

    Raises:
        InvalidRequestError: With a detail for each field that is wrong, for many the first ones.
    """
    given = given_fields(fields)
    if given.get("image"):
        useless = (*useless, "aspect_ratio")
    attributes = [
        replace(each, choices=tuple(adapters)) if each.name == "loras" else each
        for each in attributes_of(model)
    ]
    values, ignored = read_values(attributes, given, useless, is_strict=is_strict)
    values.setdefault("guidance", NO_GUIDANCE)
    if values["seed"] == _RANDOM_SEED:
        values["seed"] = random_seed()
    return GenerateRequest(**cast(Any, values), ignored=ignored)


def given_fields(fields: Fields) -> Fields:
    """The fields of a body without those that are null, which is the same as leaving them out."""
    return {name: value for name, value in fields.items() if value is not None}


def read_values(
    attributes: Sequence[Attribute], given: Fields, useless: Iterable[str], *, is_strict: bool
) -> tuple[dict[str, Value], tuple[str, ...]]:
    """Read every attribute, given or default.

    Args:
        attributes: What may be given.
        given: The fields of a body.
        useless: Names of attributes that have no effect on this model.
        is_strict: A field without effect is an error.

    Returns:
        The values by name, and the names of what was given and has no effect (percent-encoded).

    Raises:
        InvalidRequestError: With a detail for each field that is wrong, for many the first ones.
    """
    values: dict[str, Value] = {}
    problems: list[ErrorDetail] = []
    for attribute in attributes:
        value = given.get(attribute.name, attribute.default)
        try:
            if value is None:
                raise ValueError(f"{attribute.name} is missing; it must be {attribute.wanted}")
            values[attribute.name] = read(attribute, value)
        except ValueError as error:
            problems.append(attribute.problem(str(error)))
    known = {attribute.name for attribute in attributes}
    ignored = [name for name in given if name not in known]
    ignored += [name for name in useless if name in given]
    if given.get("mask") and not given.get("image"):
        problems.append(
            ErrorDetail("mask", "mask needs an image, of which it says what is painted")
        )
    problems += _problems_of_others(given, ignored, is_strict=is_strict)
    if problems:
        del problems[_MAX_PROBLEMS:]
        raise InvalidRequestError("; ".join(each.message for each in problems), details=problems)
    return values, tuple(map(_printable, ignored))


def _problems_of_others(
    given: Fields, ignored: Iterable[str], *, is_strict: bool
) -> Iterable[ErrorDetail]:
    for name in ignored:
        value = given[name]
        if isinstance(value, float) and not math.isfinite(value):
            yield ErrorDetail(_printable(name), f"{_printable(name)} is not a finite number")
        elif is_strict:
            yield ErrorDetail(_printable(name), f"{_printable(name)} has no effect here")


def ignored_header(names: Iterable[str]) -> str:
    """`GenerateRequest.ignored` as the value of a header, of bounded length."""
    text = ", ".join(names)
    if len(text) > _MAX_IGNORED_CHARACTERS:
        return f"{text[:_MAX_IGNORED_CHARACTERS]}..."
    return text


def _printable(name: str) -> str:
    return quote(name[:100], safe="", errors="replace")
