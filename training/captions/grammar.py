"""Sentences for scenes: what is shown, in which style, on which background, among words that mean nothing.

Comes in: a scene and the names of its things. Goes out: one sentence of at most so many words. Half of what a
person types is noise to a small model (places, qualities, unknown words), so sentences are padded with such
words in training. What means something is never cut off. No picture is read here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.captions.scene import Scene, Thing
from training.captions.words import (
    ADJECTIVES,
    BACKGROUND_FORMS,
    BACKGROUND_SYNONYMS,
    COLOUR_SYNONYMS,
    COUNT_WORDS,
    COUPLE_FORMS,
    FILLERS,
    OPENINGS,
    PLACE_FORMS,
    QUALITIES,
    SIZE_WORDS,
    STYLE_FORMS,
)
from training.data.pictures import Concept
from training.data.sources import source


@dataclass(frozen=True, slots=True)
class Length:
    """How much is said around what is shown."""

    filler_rate: float
    max_words: int


SHORT = Length(filler_rate=0.12, max_words=12)
MIDDLE = Length(filler_rate=0.35, max_words=20)
LONG = Length(filler_rate=0.65, max_words=46)


def article(noun: str) -> str:
    """Return `noun` with the indefinite article that it takes."""
    return ("an " if noun[0].lower() in "aeiou" else "a ") + noun


class CaptionWriter:
    """Writes one sentence after another from its own random stream."""

    def __init__(self, concepts: list[Concept], vocabulary: list[str], seed: int) -> None:
        self.concepts = concepts
        self.vocabulary = vocabulary
        self.rng = random.Random(seed)  # noqa: S311 - not for secrets

    def write(self, scene: Scene, length: Length) -> str:
        """Return a sentence for `scene`."""
        rng = self.rng
        noisy = rng.random() < length.filler_rate
        subject = self._subject(scene, noisy=noisy)
        if rng.random() < (0.4 if noisy else 0.1):
            subject = rng.choice(OPENINGS).format(subject)
        parts = [self._with_style(subject, scene), *self._background(scene.background)]
        if noisy:
            self._add_noise(parts, length)
        return self._dress(parts, noisy=noisy)

    def _subject(self, scene: Scene, *, noisy: bool) -> str:
        rng = self.rng
        if len(scene.things) == 2:
            first, second = (self._phrase(thing, noisy=noisy) for thing in scene.things)
            return rng.choice(COUPLE_FORMS[scene.relation]).format(first, second)
        thing = scene.things[0]
        if scene.count > 1:
            words = [rng.choice(COUNT_WORDS[scene.count]), *self._colour(thing)]
            return " ".join([*words, self.concepts[thing.concept].plural or ""])
        sizes = SIZE_WORDS.get(scene.size, ())
        phrase = self._phrase(thing, noisy=noisy, size=rng.choice(sizes) if sizes else "")
        places = PLACE_FORMS.get(scene.place, ())
        return rng.choice(places).format(phrase) if places else phrase

    def _phrase(self, thing: Thing, *, noisy: bool, size: str = "") -> str:
        """Return "a small red apple" and the like."""
        rng = self.rng
        concept = self.concepts[thing.concept]
        named = not concept.synonyms or thing.colour or rng.random() < 0.6
        words = [concept.name if named else rng.choice(concept.synonyms)]
        words = [*self._colour(thing), *words]
        if rng.random() < (0.3 if noisy else 0.08):
            words.insert(0, rng.choice(ADJECTIVES))
        noun = " ".join([size, *words] if size else words)
        lead = rng.random()
        return article(noun) if lead < 0.75 else f"the {noun}" if lead < 0.82 else noun

    def _colour(self, thing: Thing) -> list[str]:
        if thing.colour is None:
            return []
        return [self.rng.choice((thing.colour,) * 4 + COLOUR_SYNONYMS.get(thing.colour, ()))]

    def _filler(self) -> str:
        form = self.rng.choice(FILLERS)
        return form.format(*self.rng.choices(self.vocabulary, k=2)) if "{}" in form else form

    def _with_style(self, subject: str, scene: Scene) -> str:
        rng = self.rng
        silent = 0.65 if scene.source == "fluent3d" else 0.02
        if rng.random() < silent:
            return subject
        style = rng.choice(source(scene.source).style_words)
        return rng.choice(STYLE_FORMS).format(subject=subject, style=style)

    def _background(self, background: str) -> list[str]:
        rng = self.rng
        if background == "white" and rng.random() < 0.85:
            return []
        names = (background, background, *BACKGROUND_SYNONYMS.get(background, ()))
        return [rng.choice(BACKGROUND_FORMS).format(rng.choice(names))]

    def _add_noise(self, parts: list[str], length: Length) -> None:
        """Add fillers behind, between or before, as long as there is room."""
        rng = self.rng
        noise = [self._filler()] if rng.random() < 0.6 else []
        noise += [rng.choice(QUALITIES) for _ in range(rng.randrange(4))]
        if rng.random() < 0.3:
            noise.append(" ".join(rng.choices(self.vocabulary, k=rng.randrange(1, 7))))
        if length is LONG and rng.random() < 0.5:
            noise += [rng.choice(QUALITIES) for _ in range(rng.randrange(2, 9))]
            noise += [self._filler() for _ in range(rng.randrange(3))]
        for text in noise:
            if sum(len(part.split()) for part in parts) + len(text.split()) <= length.max_words:
                parts.insert(rng.randrange(1, len(parts) + 1), self._blurred(text))

    def _blurred(self, text: str) -> str:
        """Replace some words by ones that no vocabulary has."""
        rng = self.rng
        if rng.random() < 0.8:
            return text
        return " ".join(w if rng.random() > 0.4 else self._unknown() for w in text.split())

    def _unknown(self) -> str:
        return "".join(self.rng.choices("abcdefghijklmnopqrstuvwxyz", k=self.rng.randrange(2, 9)))

    def _dress(self, parts: list[str], *, noisy: bool) -> str:
        rng = self.rng
        text = parts[0]
        for part in parts[1:]:
            text += (", " if rng.random() < (0.7 if noisy else 0.45) else " ") + part
        case = rng.random()
        text = text[0].upper() + text[1:] if case < 0.15 else text.title() if case < 0.2 else text
        return text + (rng.choice((".", "!", "")) if rng.random() < 0.15 else "")
