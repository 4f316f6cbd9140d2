"""Sentences for pictures: what is shown, in which style, on which background, among words that mean nothing.

Comes in: a concept, a style and a background. Goes out: one sentence. Half of what a person types is noise
to a small model (places, qualities, unknown words), so sentences are padded with such words in training:
the first concept named is the one shown. No picture is read here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.captions.words import ADJECTIVES, FILLERS, OPENINGS, QUALITIES, STYLE_FORMS
from training.data.pictures import Concept
from training.data.sources import Source

# Names and sRGB values of the backgrounds; the first is what a sentence without one gets.
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "black": (16, 16, 18),
    "grey": (150, 152, 156),
    "red": (214, 48, 49),
    "orange": (240, 140, 40),
    "yellow": (250, 210, 60),
    "green": (62, 166, 88),
    "teal": (38, 160, 160),
    "light blue": (160, 208, 245),
    "blue": (44, 96, 210),
    "purple": (126, 70, 190),
    "pink": (246, 160, 196),
    "brown": (130, 88, 58),
    "beige": (240, 228, 205),
}
BACKGROUND_SYNONYMS: dict[str, tuple[str, ...]] = {
    "white": ("plain white",),
    "grey": ("gray",),
    "light blue": ("sky blue", "pale blue"),
    "blue": ("dark blue", "deep blue"),
    "beige": ("cream",),
    "teal": ("turquoise", "cyan"),
    "purple": ("violet",),
}
BACKGROUND_FORMS = (
    "on a {} background", "on a {} background", "on a {} background", "with a {} background",
    "{} background", "against a {} background", "{} backdrop", "on {}", "over a {} background",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Length:
    """How much is said around the object."""

    filler_rate: float
    max_words: int


SHORT = Length(filler_rate=0.15, max_words=13)
LONG = Length(filler_rate=0.5, max_words=40)


def article(noun: str) -> str:
    """Return `noun` with the indefinite article that it takes."""
    return ("an " if noun[0].lower() in "aeiou" else "a ") + noun


class CaptionWriter:
    """Writes one sentence after another from its own random stream."""

    def __init__(self, concepts: list[Concept], vocabulary: list[str], seed: int) -> None:
        self.concepts = concepts
        self.vocabulary = vocabulary
        self.rng = random.Random(seed)  # noqa: S311 - not for secrets

    def write(self, concept: Concept, source: Source, background: str, length: Length) -> str:
        """Return a sentence for the picture of `concept` in the style of `source` on `background`."""
        rng = self.rng
        noisy = rng.random() < length.filler_rate
        subject = self._subject(concept, noisy=noisy)
        if noisy and rng.random() < 0.5:
            subject = f"{subject} {self._filler()}"
        parts = [self._with_style(subject, source)]
        parts += self._background(background)
        if noisy:
            parts += [rng.choice(QUALITIES) for _ in range(rng.randrange(4))]
            if rng.random() < 0.3:
                parts.append(" ".join(rng.choices(self.vocabulary, k=rng.randrange(1, 7))))
        return self._dress(parts, length)

    def _subject(self, concept: Concept, *, noisy: bool) -> str:
        rng = self.rng
        named = not concept.synonyms or rng.random() < 0.6
        noun = concept.name if named else rng.choice(concept.synonyms)
        if rng.random() < (0.4 if noisy else 0.12):
            noun = f"{rng.choice(ADJECTIVES)} {noun}"
        lead = rng.random()
        phrase = article(noun) if lead < 0.7 else f"the {noun}" if lead < 0.78 else noun
        if rng.random() < (0.4 if noisy else 0.12):
            phrase = rng.choice(OPENINGS).format(phrase)
        return phrase

    def _filler(self) -> str:
        rng = self.rng
        form = rng.choice(FILLERS)
        if "{other}" in form:
            return form.format(other=article(rng.choice(self.concepts).name))
        words = rng.choices(self.vocabulary, k=2)
        return form.format(words[0], words[1]) if "{}" in form else form

    def _with_style(self, subject: str, source: Source) -> str:
        rng = self.rng
        silent = 0.65 if source.key == "fluent3d" else 0.02
        if rng.random() < silent:
            return subject
        return rng.choice(STYLE_FORMS).format(subject=subject, style=rng.choice(source.style_words))

    def _background(self, background: str) -> list[str]:
        rng = self.rng
        if background == "white" and rng.random() < 0.85:
            return []
        names = (background, background, *BACKGROUND_SYNONYMS.get(background, ()))
        return [rng.choice(BACKGROUND_FORMS).format(rng.choice(names))]

    def _dress(self, parts: list[str], length: Length) -> str:
        rng = self.rng
        text = parts[0]
        for part in parts[1:]:
            text += (", " if rng.random() < 0.6 else " ") + part
        words = text.split()[: length.max_words]
        if length is LONG and rng.random() < 0.1:
            words = [w if rng.random() > 0.08 else self._unknown() for w in words]
        text = " ".join(words)
        case = rng.random()
        text = text[0].upper() + text[1:] if case < 0.15 else text.title() if case < 0.2 else text
        return text + (rng.choice((".", "!", "")) if rng.random() < 0.15 else "")

    def _unknown(self) -> str:
        return "".join(self.rng.choices("abcdefghijklmnopqrstuvwxyz", k=self.rng.randrange(2, 9)))
