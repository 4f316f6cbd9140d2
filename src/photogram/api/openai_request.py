"""OpenAI's words of a request for pictures, turned into the words of our own.

The fields of a body come in, an `OpenaiRequest` goes out. `OPENAI_ATTRIBUTES` is the table that
validation and the documentation are made from. What a picture looks like is decided by the same
`GenerateRequest` as on every other route.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, cast

from photogram.api.attributes import ATTRIBUTES, Attribute, attributes_of
from photogram.api.body import Fields
from photogram.api.schemas import (
    PIXEL_FACTORS,
    GenerateRequest,
    given_fields,
    read_request,
    read_values,
)
from photogram.core.errors import ErrorDetail, InvalidRequestError
from photogram.core.messages import DEFAULT_MODEL, ModelInfo
from photogram.generation.catalogue import Catalogue

QUALITIES = ("low", "medium", "high")

_BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}

OPENAI_ATTRIBUTES: tuple[Attribute, ...] = (
    _BY_NAME["prompt"],
    Attribute(
        "model",
        "choice",
        DEFAULT_MODEL,
        f"An `id` of `GET /v1/models`; `{DEFAULT_MODEL}` is the default one. Any other is a 404.",
    ),
    replace(_BY_NAME["samples"], name="n", note="Pictures; picture *i* has the seed `seed + i`."),
    Attribute(
        "size",
        "choice",
        "auto",
        "One of the `sizes` of `GET /v1/models`; `auto` is the model's square.",
        price="a quarter at quarter sizes",
    ),
    Attribute(
        "quality",
        "choice",
        "medium",
        "Denoising steps: `medium` is the model's default (25), `low` two fifths of it (10), `high` "
        "the model's most (50). `auto` and `standard` are `medium`, `hd` is `high`.",
        choices=QUALITIES,
        synonyms=MappingProxyType({"auto": "medium", "standard": "medium", "hd": "high"}),
        price="by its steps",
    ),
    Attribute(
        "output_format",
        "choice",
        "png",
        "File format.",
        choices=("png", "jpeg", "webp"),
        synonyms=MappingProxyType({"jpg": "jpeg"}),
    ),
    Attribute(
        "output_compression",
        "integer",
        100,
        "Quality of jpeg and webp; png is lossless and ignores it.",
        minimum=0,
        maximum=100,
    ),
    Attribute(
        "response_format",
        "choice",
        "b64_json",
        "Pictures are in the answer itself; or `url`: at addresses that need no key, for as long as "
        "the server keeps [files](#files). Not with `stream`.",
        choices=("b64_json", "url"),
    ),
    Attribute(
        "background",
        "choice",
        "opaque",
        "Pictures have no transparency; `auto` is `opaque`.",
        choices=("opaque",),
        synonyms=MappingProxyType({"auto": "opaque"}),
    ),
    Attribute("stream", "flag", False, "Answer with events."),
    Attribute(
        "partial_images",
        "integer",
        0,
        "With `stream`: so many previews of the first picture while it is painted, small JPEG files; "
        "a busy server leaves some out.",
        minimum=0,
        maximum=3,
    ),
    replace(
        _BY_NAME["seed"],
        default=-1,
        note="Not OpenAI's: same seed, same picture. -1 draws one; `x-seed-value` says which.",
    ),
    replace(
        _BY_NAME["steps"], note="Not OpenAI's: denoising steps, whatever `quality` stands for."
    ),
    replace(_BY_NAME["guidance"], note="Not OpenAI's: how closely to follow the prompt."),
)

_SIZE_OF_EDITS = (
    "One of the `sizes` of `GET /v1/models`, to whose shape the image is cropped; `auto` follows the "
    "image's own."
)
EDIT_ATTRIBUTES: tuple[Attribute, ...] = (
    replace(_BY_NAME["image"], default=None, note="One picture, also as `image[]`."),
    replace(
        _BY_NAME["mask"],
        note="Of the image's size: only what is *transparent* in it is painted anew.",
    ),
    replace(
        _BY_NAME["prompt_strength"], note="Not OpenAI's: how much of the image is painted anew."
    ),
    *(
        replace(attribute, note=_SIZE_OF_EDITS) if attribute.name == "size" else attribute
        for attribute in OPENAI_ATTRIBUTES
    ),
)


@dataclass(frozen=True, slots=True)
class OpenaiRequest:
    """A valid request in both vocabularies.

    Attributes:
        model: What paints it.
        wanted: The request in our words.
        size: ``WIDTHxHEIGHT``; empty: the shape of the image that is edited decides.
        kind: What its events are called by.
    """

    model: ModelInfo
    wanted: GenerateRequest
    kind: Literal["image_generation", "image_edit"]
    size: str
    quality: Literal["low", "medium", "high"]
    output_format: Literal["png", "jpeg", "webp"]
    is_streamed: bool
    wants_urls: bool


def sizes_of(model: ModelInfo) -> Mapping[str, tuple[str, str]]:
    """Every size of a model as ``WIDTHxHEIGHT`` -> (aspect ratio, megapixels), native ones first."""
    sizes: dict[str, tuple[str, str]] = {}
    for megapixels in PIXEL_FACTORS:
        for ratio in model.aspect_ratios:
            width, height = model.size(ratio, megapixels)
            sizes.setdefault(f"{width}x{height}", (ratio, megapixels))
    return sizes


def steps_of(model: ModelInfo) -> Mapping[str, int]:
    """`quality` -> the denoising steps that it stands for."""
    low = max(round(model.default_steps * 0.4), 1)
    return dict(zip(QUALITIES, (low, model.default_steps, model.max_steps), strict=True))


def _refuse_pictures(given: Fields) -> None:
    """To leave them out would be to paint something else than was asked for."""
    problems = [
        ErrorDetail(name, f"{name} is not supported here; send it to /v1/images/edits")
        for name in ("image", "image[]", "mask")
        if name in given
    ]
    if problems:
        raise InvalidRequestError("; ".join(each.message for each in problems), details=problems)


def read_openai_request(
    fields: Fields, catalogue: Catalogue, *, is_strict: bool, is_edit: bool = False
) -> OpenaiRequest:
    """Check every field of a body and turn it into a request.

    Args:
        fields: The body; null is the same as an omitted field.
        catalogue: What it may be for.
        is_strict: A field without effect is an error.
        is_edit: It begins from an image.

    Raises:
        InvalidRequestError: With a detail for each field that is wrong, in OpenAI's words.
        NotFoundError: It is for a model that is not there.
    """
    given = given_fields(fields)
    if is_edit and "image[]" in given and "image" not in given:
        given["image"] = given.pop("image[]")
    if not is_edit:
        _refuse_pictures(given)
    model = catalogue.find(given.get("model", DEFAULT_MODEL)).model
    sizes = sizes_of(model)
    choices = {"model": tuple(catalogue.names), "size": ("auto", *sizes)}
    attributes = [
        replace(attribute, choices=choices.get(attribute.name, attribute.choices))
        for attribute in attributes_of(model, EDIT_ATTRIBUTES if is_edit else OPENAI_ATTRIBUTES)
    ]
    values, ignored = read_values(attributes, given, (), is_strict=is_strict)
    if values["stream"] and values["response_format"] == "url":
        message = "response_format must be b64_json in a stream, whose events hold the pictures"
        raise InvalidRequestError(message, details=[ErrorDetail("response_format", message)])
    ratio, megapixels = sizes.get(str(values["size"]), ("1:1", "1"))
    quality = cast(Literal["low", "medium", "high"], values["quality"])
    ours: Fields = {
        "prompt": values["prompt"],
        "samples": values["n"],
        "steps": values["steps"] if "steps" in given else steps_of(model)[quality],
        "guidance": values.get("guidance"),
        "seed": values["seed"],
        "aspect_ratio": ratio,
        "megapixels": megapixels,
        "output_format": values["output_format"],
        "output_quality": values["output_compression"],
        "previews": values["partial_images"] if values["stream"] else 0,
    }
    if is_edit:
        ours |= {name: values[name] for name in ("image", "mask", "prompt_strength")}
    wanted = read_request(ours, model, is_strict=False)
    width, height = model.size(ratio, megapixels)
    return OpenaiRequest(
        model=model,
        wanted=replace(wanted, ignored=ignored),
        kind="image_edit" if is_edit else "image_generation",
        size="" if is_edit and values["size"] == "auto" else f"{width}x{height}",
        quality=quality,
        output_format=cast(Literal["png", "jpeg", "webp"], values["output_format"]),
        is_streamed=bool(values["stream"]),
        wants_urls=values["response_format"] == "url",
    )
