"""The words that captions may contain: grammar, concepts, and the keywords of the emoji tables.

Comes in: the fetched word packages. Goes out: a sorted list of lower-case filler words and the full word
list for the tokenizers. Keywords that name or mean a concept are no fillers.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from training.captions import words
from training.data.colours import BACKGROUNDS, OBJECT_COLOURS
from training.data.fetch import package_folder
from training.data.pictures import Concept
from training.data.sources import SOURCES, WORD_PACKAGES

FILLERS_FILE = "fillers.json"  # below the work folder, so that training needs no package
SHARED_BY = 2
WORD = re.compile(r"[a-z0-9][a-z0-9'-]*")


def words_of(*texts: str) -> set[str]:
    """Return the lower-case words of `texts`."""
    return {word for text in texts for word in WORD.findall(text.lower())}


def keyword_words(cache: Path) -> set[str]:
    """Return the words of emoji keywords and names that several emoji share."""
    package, version = WORD_PACKAGES[1]
    path = package_folder(cache, package, version) / "dist" / "emoji-en-US.json"
    table: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    counts = Counter(
        word for keys in table.values() for word in words_of(*(k.replace("_", " ") for k in keys))
    )
    return {word for word, n in counts.items() if n >= SHARED_BY and 1 < len(word) < 14}


def concept_words(concepts: list[Concept]) -> set[str]:
    """Return the words that mean a concept, with simple plurals."""
    found = words_of(*(text for c in concepts for text in (c.name, *c.synonyms, c.plural or "")))
    return found | {word + "s" for word in found if not word.endswith("s")}


def painted_words() -> set[str]:
    """Return the words that say how something is painted: colours, places, sizes, counts, styles."""
    tables = (words.SIZE_WORDS, words.PLACE_FORMS, words.COUPLE_FORMS)
    rows = [row for table in tables for row in table.values()]
    rows += list(words.COUNT_WORDS.values())
    rows += [*words.COLOUR_SYNONYMS.values(), *words.BACKGROUND_SYNONYMS.values()]
    rows += [source.style_words for source in SOURCES]
    found = words_of(*(text for row in rows for text in row), *BACKGROUNDS, *OBJECT_COLOURS)
    return found | {"background", "backdrop", "corner", "center", "middle"}


def filler_words(cache: Path, concepts: list[Concept]) -> list[str]:
    """Return words that may stand in a sentence without changing its picture."""
    meant = concept_words(concepts) | painted_words()
    return sorted((keyword_words(cache) | set(words.COMMON)) - meant)


def all_words(cache: Path, concepts: list[Concept]) -> list[str]:
    """Return every lower-case word that a tokenizer should know as one piece."""
    lists = (words.ADJECTIVES, words.OPENINGS, words.QUALITIES, words.FILLERS, words.STYLE_FORMS)
    found = words_of(*(text for texts in lists for text in texts), *words.BACKGROUND_FORMS)
    found |= painted_words() | concept_words(concepts)
    return sorted(found | set(filler_words(cache, concepts)))
