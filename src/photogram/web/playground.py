"""What the playground shows: a control for each attribute of a request, and what the models can do.

The attributes come in as the API has them, a view of them goes out to the template. Nothing about an
attribute is written down here but where on the page it stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from photogram.core.messages import ModelInfo

_FIRST = ("aspect_ratio", "samples", "steps", "guidance", "seed")
"""What people change most; the prompt stands above all, and the rest is folded away."""

_STRENGTH = "prompt_strength"
"""Stands beside the picture that a request begins from, where there can be one."""

_MOST_IDEAS = 4

_SIMPLE = ("text", "integer", "number", "choice", "flag")
"""Kinds of attributes that one control of the browser's can hold."""

_NOT_SHOWN = ("base64", "previews")
"""Of the answer, not of the picture: the page takes files, and as many previews as it can get."""


class Attribute(Protocol):
    """An attribute of a request, as the table of the API describes it."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def default(self) -> object: ...
    @property
    def note(self) -> str: ...
    @property
    def minimum(self) -> int | None: ...
    @property
    def maximum(self) -> int | None: ...
    @property
    def choices(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Shape:
    """An aspect ratio, and the rectangle that stands for it: sides of at most 18."""

    ratio: str
    width: int
    height: int

    @classmethod
    def of(cls, ratio: str) -> "Shape":
        """The shape of ``W:H``."""
        width, height = (int(side) for side in ratio.split(":"))
        longer = max(width, height)
        return cls(ratio, round(18 * width / longer), round(18 * height / longer))


@dataclass(frozen=True, slots=True)
class View:
    """What the template shows."""

    prompt: Attribute
    first: Sequence[Attribute]
    pictures: Sequence[Attribute]
    strength: Attribute
    more: Sequence[Attribute]
    adapters: Sequence[Attribute]
    shapes: Sequence[Shape]
    models: Sequence[ModelInfo]
    num_previews: int | None
    has_session: bool

    @property
    def data(self) -> Mapping[str, object]:
        """What the page's script has to know."""
        return {
            "hasSession": self.has_session,
            "previews": self.num_previews,
            "models": [
                {
                    "slug": model.slug,
                    "defaultSteps": model.default_steps,
                    "maxSteps": model.max_steps,
                    "hasGuidance": model.has_guidance,
                    "ideas": [*model.suggested_prompts[:_MOST_IDEAS]],
                    "sizes": {ratio: [*size] for ratio, size in model.aspect_ratios.items()},
                    "quarterSizes": {
                        ratio: [*model.size(ratio, "0.25")] for ratio in model.aspect_ratios
                    },
                }
                for model in self.models
            ],
        }


def view_of(
    attributes: Sequence[Attribute], models: Sequence[ModelInfo], *, has_session: bool
) -> View:
    """What a visitor is shown.

    Args:
        attributes: The table of the API.
        models: The server's, the default one first.
        has_session: Whether his browser has one; it may have ended.
    """
    by_name = {each.name: each for each in attributes}
    pictures = [each for each in attributes if each.kind == "picture"]
    placed = {"prompt", *_FIRST, *_NOT_SHOWN, *(each.name for each in pictures)}
    placed |= {_STRENGTH} if pictures else set()
    return View(
        prompt=by_name["prompt"],
        first=[by_name[name] for name in _FIRST],
        pictures=pictures,
        strength=by_name[_STRENGTH],
        more=[each for each in attributes if each.kind in _SIMPLE and each.name not in placed],
        adapters=[each for each in attributes if each.kind == "list"],
        shapes=[Shape.of(ratio) for ratio in by_name["aspect_ratio"].choices],
        models=models,
        num_previews=by_name["previews"].maximum,
        has_session=has_session,
    )
