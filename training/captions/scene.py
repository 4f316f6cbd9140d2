"""What a picture shows and where: drawn at random, laid out on any canvas.

Comes in: items, concepts and a random stream. Goes out: a `Scene`, and for a canvas the squares that its
things fill. Every scene has exactly one layout on a canvas, so that words and places are learned sharply.
It knows neither sentences nor pixels.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, replace

from training.data.colours import BACKGROUNDS, OBJECT_COLOURS
from training.data.held_out import held_out_pairs, is_held_out_combination
from training.data.items import Item
from training.data.pictures import Concept

SIZES: dict[str, float] = {"normal": 1.0, "tiny": 0.3, "small": 0.5, "huge": 1.25}
PLACES: dict[str, tuple[float, float]] = {
    "middle": (0.5, 0.5),
    "left": (0.0, 0.5),
    "right": (1.0, 0.5),
    "top": (0.5, 0.0),
    "bottom": (0.5, 1.0),
    "top left": (0.0, 0.0),
    "top right": (1.0, 0.0),
    "bottom left": (0.0, 1.0),
    "bottom right": (1.0, 1.0),
}
RELATIONS = ("none", "beside", "left", "right", "above", "below")

# Shares of the kinds of scenes; the rest is one thing, as large as fits, in its own colours.
KIND_SHARES: dict[str, float] = {
    "colour": 0.13, "couple": 0.14, "count": 0.06, "size": 0.05, "place": 0.04,
}  # fmt: skip
FAVOURED_STYLE, FAVOURED_SHARE = "fluent3d", 0.36
WHITE_SHARE = 0.42
COLOURED_COUPLE_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing: its item, its concept and the colour it is painted in (None: its own)."""

    item: int
    concept: int
    colour: str | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """Things of one style before a background.

    Attributes:
        things: One, or two in the order in which a sentence names them.
        source: Key of the picture set.
        background: Key of `BACKGROUNDS`.
        count: How often the only thing is there, 1 to 4.
        size: Key of `SIZES`, of the only thing.
        place: Key of `PLACES`, of the only thing.
        relation: One of `RELATIONS`: where the first of two stands, seen from the second.
    """

    things: tuple[Thing, ...]
    source: str
    background: str
    count: int = 1
    size: str = "normal"
    place: str = "middle"
    relation: str = "none"


@dataclass(frozen=True, slots=True)
class Square:
    """Where a thing is painted, in whole pixels; it may reach over the edge."""

    thing: int
    left: int
    top: int
    side: int


def square_at(thing: int, x: float, y: float, side: float) -> Square:
    """Return the square of `side` with its centre at (x, y)."""
    return Square(thing, round(x - side / 2), round(y - side / 2), round(side))


def layout(scene: Scene, width: int, height: int) -> list[Square]:
    """Return the squares of `scene` on a canvas, back to front."""
    if len(scene.things) == 2:
        return _couple(scene.relation, width, height)
    if scene.count > 1:
        return _group(scene.count, width, height)
    across, down = PLACES[scene.place]
    share = SIZES[scene.size] if scene.place == "middle" else SIZES["small"]
    side = min(width, height) * share
    x = side / 2 + across * (width - side)
    return [square_at(0, x, side / 2 + down * (height - side), side)]


def _couple(relation: str, width: int, height: int) -> list[Square]:
    upright = relation in ("above", "below") or (relation == "beside" and height > 1.2 * width)
    order = (1, 0) if relation in ("right", "below") else (0, 1)
    places = _line(2, width, height, upright=upright)
    return [square_at(thing, *place) for thing, place in zip(order, places, strict=True)]


def _group(count: int, width: int, height: int) -> list[Square]:
    long = max(width, height) / min(width, height)
    if count == 2 or long > (1.45 if count == 3 else 2.0):
        places = _line(count, width, height, upright=height > 1.2 * width)
    else:
        slot = min(width, height) / 2
        x, y, half = width / 2, height / 2, slot / 2
        upper = [(x, y - half)] if count == 3 else [(x - half, y - half), (x + half, y - half)]
        lower = [(x - half, y + half), (x + half, y + half)]
        places = [(a, b, slot) for a, b in (*upper, *lower)]
    return [square_at(0, *place) for place in places]


def _line(
    count: int, width: int, height: int, *, upright: bool
) -> list[tuple[float, float, float]]:
    along, across = (height, width) if upright else (width, height)
    slot = min(along / count, across)
    centres = [along / 2 + (i - (count - 1) / 2) * slot for i in range(count)]
    return [(width / 2, c, slot) if upright else (c, height / 2, slot) for c in centres]


class SceneSampler:
    """Draws scenes from its own random stream; held-out pairs and couples never come."""

    def __init__(
        self, items: list[Item], concepts: list[Concept], seed: int, weights: list[float]
    ) -> None:
        """Take one weight per concept: how often it is drawn."""
        self.items, self.concepts, self.weights = items, concepts, weights
        self.rng = random.Random(seed)  # noqa: S311 - not for secrets
        hidden = held_out_pairs(items)
        self.by_source: dict[int, dict[str, int]] = defaultdict(dict)
        for index, item in enumerate(items):
            if index not in hidden:
                self.by_source[item.concept][item.picture.source] = index
        self._indices = list(range(len(concepts)))

    def draw(self) -> Scene:
        """Return the next scene."""
        kind = self._kind()
        thing, source = self._thing(coloured=kind == "colour")
        scene = Scene((thing,), source, self._background())
        if kind == "couple":
            return self._with_second(scene)
        if kind == "count" and self.concepts[thing.concept].plural:
            return replace(scene, count=self.rng.choice((2, 2, 3, 4)))
        if kind == "size":
            return replace(scene, size=self.rng.choice(("tiny", "small", "huge")))
        if kind == "place":
            return replace(scene, place=self.rng.choice(list(PLACES)[1:]))
        return scene

    def _kind(self) -> str:
        left = self.rng.random()
        for kind, share in KIND_SHARES.items():
            left -= share
            if left < 0:
                return kind
        return "single"

    def _background(self) -> str:
        white = self.rng.random() < WHITE_SHARE
        return "white" if white else self.rng.choice(list(BACKGROUNDS))

    def _thing(self, *, coloured: bool) -> tuple[Thing, str]:
        while True:
            concept = self.rng.choices(self._indices, self.weights)[0]
            if not coloured or self.concepts[concept].takes_colour:
                break
        rows = self.by_source[concept]
        favoured = FAVOURED_STYLE in rows and self.rng.random() < FAVOURED_SHARE
        source = FAVOURED_STYLE if favoured else self.rng.choice(list(rows))
        colour = self.rng.choice(list(OBJECT_COLOURS)) if coloured else None
        return Thing(rows[source], concept, colour), source

    def _with_second(self, scene: Scene) -> Scene:
        """Add another thing of the same style, some of them in colours of their own."""
        first = scene.things[0]
        name = self.concepts[first.concept].name
        while True:
            concept = self.rng.choices(self._indices, self.weights)[0]
            other = self.concepts[concept].name
            has_style = scene.source in self.by_source[concept]
            if has_style and concept != first.concept and not is_held_out_combination(name, other):
                break
        second = Thing(self.by_source[concept][scene.source], concept)
        things = (first, second)
        if self.rng.random() < COLOURED_COUPLE_SHARE:
            things = (self._painted(first), self._painted(second))
        relation = self.rng.choices(RELATIONS[1:], (4, 2, 2, 2, 1.2))[0]
        return replace(scene, things=things, relation=relation)

    def _painted(self, thing: Thing) -> Thing:
        if not self.concepts[thing.concept].takes_colour:
            return thing
        return replace(thing, colour=self.rng.choice(list(OBJECT_COLOURS)))
