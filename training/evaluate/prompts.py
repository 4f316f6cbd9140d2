"""The prompts that are judged, each with the scene that it asks for.

Comes in: concepts and items. Goes out: named lists of `Prompt`; nothing is painted here. Sentences are
written here and not by the captions' grammar, so that no prompt is one that training can have drawn.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, replace

from training.captions.grammar import article
from training.captions.scene import Scene, Thing
from training.data.colours import BACKGROUNDS, OBJECT_COLOURS
from training.data.held_out import (
    held_out_combinations,
    held_out_pairs,
    is_held_out_combination,
)
from training.data.items import Item
from training.data.pictures import Concept
from training.data.sources import source

DEFAULT_STYLE = "fluent3d"
SENTENCES = (
    "a photo of an old {} on a desk in a messy room, highly detailed, 8k",
    "please draw me a very nice {} that stands near the window at night",
    "cinematic shot of a {} in a foggy street, dramatic lighting, film grain",
    "my grandmother once painted a {} like this one, with soft shadows",
)
RELATIONS = {
    "left": "{} to the left of {}",
    "right": "{} to the right of {}",
    "above": "{} above {}",
    "below": "{} below {}",
    "beside": "{} next to {}",
}
PLACES = {
    "left": "{} on the left",
    "right": "{} on the right",
    "top": "{} at the top",
    "bottom": "{} at the bottom",
    "top left": "{} in the top left corner",
    "bottom right": "{} in the bottom right corner",
}
COUNTS = {2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """A sentence and what it should show."""

    text: str
    scene: Scene

    @property
    def concept(self) -> int:
        """The first thing."""
        return self.scene.things[0].concept


class PromptBook:
    """Writes the named sets; each has a seed of its own."""

    def __init__(self, concepts: list[Concept], items: list[Item]) -> None:
        self.concepts, self.items = concepts, items
        self.rows: dict[int, dict[str, int]] = defaultdict(dict)
        for row, item in enumerate(items):
            self.rows[item.concept][item.picture.source] = row
        self.held_out = held_out_pairs(items)
        self.everything = list(range(len(concepts)))

    def single(self, concept: int, text: str) -> Prompt:
        """Return a prompt for one thing in the default style on white."""
        styles = self.rows[concept]
        key = DEFAULT_STYLE if DEFAULT_STYLE in styles else next(iter(styles))
        return Prompt(text, Scene((Thing(styles[key], concept),), key, "white"))

    def plain(self) -> list[Prompt]:
        """Return one bare prompt per concept."""
        return [self.single(i, article(c.name)) for i, c in enumerate(self.concepts)]

    def sentences(self) -> list[Prompt]:
        """Return one long sentence per concept."""
        return [
            self.single(i, SENTENCES[i % len(SENTENCES)].format(concept.name))
            for i, concept in enumerate(self.concepts)
        ]

    def synonyms(self, seed: int, *, bare: bool) -> list[Prompt]:
        """Return one prompt per concept that avoids its name; `bare` is the word alone."""
        rng = random.Random(seed)  # noqa: S311 - not for secrets
        prompts = []
        for index, concept in enumerate(self.concepts):
            if concept.synonyms:
                word = rng.choice(concept.synonyms)
                prompts.append(self.single(index, word if bare else article(word)))
        return prompts

    def styled(self, rows: list[int], seed: int) -> list[Prompt]:
        """Return one prompt with style and background for each item of `rows`."""
        rng = random.Random(seed)  # noqa: S311 - not for secrets
        prompts = []
        for row in rows:
            item, background = self.items[row], rng.choice(list(BACKGROUNDS))
            style = source(item.picture.source).style
            name = article(self.concepts[item.concept].name)
            text = f"{name}, {style} style on a {background} background"
            scene = Scene((Thing(row, item.concept),), item.picture.source, background)
            prompts.append(Prompt(text, scene))
        return prompts

    def seen_rows(self, count: int, seed: int) -> list[int]:
        """Return random items that training saw."""
        seen = [row for row in range(len(self.items)) if row not in self.held_out]
        return random.Random(seed).sample(seen, min(count, len(seen)))  # noqa: S311 - not for secrets

    def coloured(self, per_colour: int, seed: int) -> list[Prompt]:
        """Return things in colours that are not their own."""
        rng = random.Random(seed)  # noqa: S311 - not for secrets
        able = [i for i in self.everything if self.concepts[i].takes_colour]
        prompts = []
        for colour in OBJECT_COLOURS:
            backdrop = "light blue" if colour == "white" else "white"
            for concept in rng.sample(able, min(per_colour, len(able))):
                text = article(f"{colour} {self.concepts[concept].name}")
                if backdrop != "white":
                    text += f" on a {backdrop} background"
                plain = self.single(concept, text)
                things = (replace(plain.scene.things[0], colour=colour),)
                scene = replace(plain.scene, things=things, background=backdrop)
                prompts.append(replace(plain, scene=scene))
        return prompts

    def couples(self, count: int, seed: int, *, held_out: bool) -> list[Prompt]:
        """Return two things and how they stand, the couple seen in training or kept from it."""
        rng = random.Random(seed)  # noqa: S311 - not for secrets
        pairs = held_out_combinations(self.concepts, count)
        while not held_out and len(pairs) < 2 * count:
            pairs += [self._seen_couple(rng)]
        relations = list(RELATIONS)
        return [
            self._couple(*pair, relations[i % len(relations)])
            for i, pair in enumerate(pairs[-count:])
        ]

    def _seen_couple(self, rng: random.Random) -> tuple[int, int]:
        while True:
            first, second = rng.sample(self.everything, 2)
            if not is_held_out_combination(self.concepts[first].name, self.concepts[second].name):
                return first, second

    def _couple(self, first: int, second: int, relation: str) -> Prompt:
        names = [article(self.concepts[i].name) for i in (first, second)]
        one, two = self.single(first, ""), self.single(second, "")
        scene = replace(
            one.scene, things=(one.scene.things[0], two.scene.things[0]), relation=relation
        )
        return Prompt(RELATIONS[relation].format(*names), scene)

    def counted(self, per_count: int, able: list[int], seed: int) -> list[Prompt]:
        """Return two, three and four of a thing, of the concepts `able`."""
        rng = random.Random(seed)  # noqa: S311 - not for secrets
        prompts = []
        for count, word in COUNTS.items():
            for concept in rng.sample(able, min(per_count, len(able))):
                plain = self.single(concept, f"{word} {self.concepts[concept].plural}")
                prompts.append(replace(plain, scene=replace(plain.scene, count=count)))
        return prompts

    def placed(self, per_place: int, seed: int) -> list[Prompt]:
        """Return small things at a side or in a corner."""
        rng = random.Random(seed)  # noqa: S311 - not for secrets
        prompts = []
        for place, form in PLACES.items():
            for concept in rng.sample(self.everything, min(per_place, len(self.everything))):
                plain = self.single(concept, form.format(article(self.concepts[concept].name)))
                prompts.append(replace(plain, scene=replace(plain.scene, place=place)))
        return prompts
