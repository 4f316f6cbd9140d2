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

_WITH_IMAGE = ("prompt_strength",)
"""Attributes that stand beside the picture that a request begins from."""

_NOT_SHOWN = ("base64",)
"""The page takes its pictures as files."""


class Attribute(Protocol):
    """An attribute of a request, as the table of the API describes it."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def default(self) -> str | int | float | None: ...
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
    with_image: Sequence[Attribute]
    more: Sequence[Attribute]
    shapes: Sequence[Shape]
    models: Sequence[ModelInfo]

    @property
    def data(self) -> Mapping[str, object]:
        """What the page's script has to know of the models."""
        return {
            "models": [
                {
                    "slug": model.slug,
                    "name": model.name,
                    "sizes": {ratio: [*size] for ratio, size in model.aspect_ratios.items()},
                    "quarterSizes": {
                        ratio: [*model.size(ratio, "0.25")] for ratio in model.aspect_ratios
                    },
                }
                for model in self.models
            ]
        }


def view_of(attributes: Sequence[Attribute], models: Sequence[ModelInfo]) -> View:
    """The view of the API's table and the server's models, the default one first."""
    by_name = {each.name: each for each in attributes}
    placed = {"prompt", *_FIRST, *_WITH_IMAGE, *_NOT_SHOWN}
    return View(
        prompt=by_name["prompt"],
        first=[by_name[name] for name in _FIRST],
        with_image=[by_name[name] for name in _WITH_IMAGE],
        more=[each for each in attributes if each.name not in placed],
        shapes=[Shape.of(ratio) for ratio in by_name["aspect_ratio"].choices],
        models=models,
    )
