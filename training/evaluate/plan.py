"""What one evaluation paints: named sets of prompts, and the shots for each.

Comes in: concepts, items and the checkpoint's canvases. Goes out: prompts with their shots. It decides sizes
and seeds and paints nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from photogram.weights.locate import inspect
from training.evaluate.paint import Shot
from training.evaluate.prompts import Prompt, PromptBook

GUIDANCES = (0.0, 1.0, 2.0, 3.5, 5.0, 7.0, 10.0)
HALF = " at 0.25 megapixels"
STYLED = 120
COUPLES = 80
PER_COLOUR, PER_COUNT, PER_PLACE = 6, 20, 10
SOME = 12  # prompts for each canvas and each guidance
FRECHET_PICTURES, FRECHET_STEPS = 2000, 6
SEEN, HELD_OUT = "style and background, seen pairs", "style and background, held-out pairs"


@dataclass(frozen=True, slots=True)
class Settings:
    """How everything is painted that does not say otherwise."""

    steps: int
    guidance: float
    every: int  # of each set's prompts; 1 takes all

    def shots(self, prompts: list[Prompt], width: int = 256, height: int = 256) -> list[Shot]:
        """Return one shot per prompt; the seed is the prompt's place in its set."""
        return [
            Shot(prompt.text, seed, width, height, self.steps, self.guidance)
            for seed, prompt in enumerate(prompts)
        ]


def named_sets(book: PromptBook, every: int) -> dict[str, list[Prompt]]:
    """Return the sets that the judge's table has a row for: one thing each."""
    sets = {
        "plain": book.plain(),
        SEEN: book.styled(book.seen_rows(STYLED, seed=5), seed=6),
        HELD_OUT: book.styled(sorted(book.held_out), seed=7),
        "long sentences": book.sentences()[::3],
        "other words": book.synonyms(seed=8, bare=False)[1::3],
        "keyword alone": book.synonyms(seed=9, bare=True)[2::3],
    }
    return {name: prompts[::every] for name, prompts in sets.items()}


def scene_sets(book: PromptBook, countable: list[int], every: int) -> dict[str, list[Prompt]]:
    """Return the sets about colours, couples, numbers and places."""
    sets = {
        "colours": book.coloured(PER_COLOUR, seed=10),
        "couples seen": book.couples(COUPLES, seed=11, held_out=False),
        "couples held out": book.couples(COUPLES, seed=12, held_out=True),
        "counts": book.counted(PER_COUNT, countable, seed=13),
        "places": book.placed(PER_PLACE, seed=14),
    }
    return {name: prompts[::every] for name, prompts in sets.items()}


def canvases(folder: Path) -> dict[str, tuple[int, int]]:
    """Return every canvas that the checkpoint's profile offers, and its half: name to width and height."""
    model = inspect(folder).model
    ratios = list(model.aspect_ratios)
    whole = {ratio: model.size(ratio) for ratio in ratios}
    return whole | {ratio + HALF: model.size(ratio, "0.25") for ratio in ratios}


def frechet_prompts(book: PromptBook, every: int) -> list[Prompt]:
    """Return prompts for every picture that there is, some twice, on random backgrounds."""
    rows = list(range(len(book.items)))
    rows = (rows * (FRECHET_PICTURES // len(rows) + 1))[:FRECHET_PICTURES]
    return book.styled(rows, seed=15)[::every]
