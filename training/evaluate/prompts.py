"""The prompts that are judged: plain, styled, unseen pairs, long sentences, other words."""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.captions.grammar import BACKGROUNDS, article
from training.data.pictures import Concept
from training.data.sources import source
from training.train.scenes import Item

SENTENCES = (
    "a photo of an old {} on a desk in a messy room, highly detailed, 8k",
    "please draw me a very nice {} that stands near the window at night",
    "cinematic shot of a {} in a foggy street, dramatic lighting, film grain",
    "my grandmother once painted a {} like this one, with soft shadows",
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A sentence, what it should show, and on which background (None: not asked)."""

    text: str
    concept: int
    background: str | None = None


def plain_prompts(concepts: list[Concept]) -> list[Prompt]:
    """Return one bare prompt per concept."""
    return [Prompt(article(concept.name), i) for i, concept in enumerate(concepts)]


def sentence_prompts(concepts: list[Concept]) -> list[Prompt]:
    """Return one long sentence per concept."""
    forms = SENTENCES
    return [Prompt(forms[i % len(forms)].format(c.name), i) for i, c in enumerate(concepts)]


def synonym_prompts(concepts: list[Concept], seed: int) -> list[Prompt]:
    """Return one prompt per concept that avoids its name."""
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    return [
        Prompt(article(rng.choice(c.synonyms)), i) for i, c in enumerate(concepts) if c.synonyms
    ]


def styled_prompts(
    concepts: list[Concept], items: list[Item], rows: list[int], seed: int
) -> list[Prompt]:
    """Return one prompt with style and background for each item of `rows`."""
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    prompts = []
    for row in rows:
        item = items[row]
        name, background = concepts[item.concept].name, rng.choice(list(BACKGROUNDS))
        style = source(item.picture.source).style
        text = f"{article(name)}, {style} style on a {background} background"
        prompts.append(Prompt(text, item.concept, background))
    return prompts
