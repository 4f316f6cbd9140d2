"""The words that captions may contain: grammar, concepts, and the keywords of the emoji tables.

Comes in: the fetched word packages. Goes out: a sorted list of lower-case filler words and the full word
list for the tokenizers. Keywords that name or mean a concept are no fillers.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from training.captions import words
from training.captions.grammar import BACKGROUND_FORMS, BACKGROUND_SYNONYMS, BACKGROUNDS
from training.data.fetch import package_folder
from training.data.pictures import Concept
from training.data.sources import SOURCES, WORD_PACKAGES

WORD = re.compile(r"[a-z0-9][a-z0-9'-]*")


def words_of(*texts: str) -> set[str]:
    """Return the lower-case words of `texts`."""
    return {word for text in texts for word in WORD.findall(text.lower())}


def keyword_words(cache: Path) -> set[str]:
    """Return the words of every emoji keyword and name."""
    package, version = WORD_PACKAGES[1]
    path = package_folder(cache, package, version) / "dist" / "emoji-en-US.json"
    table: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    texts = [key.replace("_", " ") for keys in table.values() for key in keys]
    return {word for word in words_of(*texts) if 1 < len(word) < 14}


def concept_words(concepts: list[Concept]) -> set[str]:
    """Return the words that mean a concept, with simple plurals."""
    found = words_of(*(text for c in concepts for text in (c.name, *c.synonyms)))
    return found | {word + "s" for word in found if not word.endswith("s")}


def filler_words(cache: Path, concepts: list[Concept]) -> list[str]:
    """Return words that may stand in a sentence without changing its picture."""
    meant = concept_words(concepts) | words_of(*(w for s in SOURCES for w in s.style_words))
    meant |= words_of(*BACKGROUNDS, *(w for row in BACKGROUND_SYNONYMS.values() for w in row))
    return sorted((keyword_words(cache) | set(words.COMMON)) - meant - {"background", "backdrop"})


def all_words(cache: Path, concepts: list[Concept]) -> list[str]:
    """Return every lower-case word that a tokenizer should know as one piece."""
    lists = (words.ADJECTIVES, words.OPENINGS, words.QUALITIES, words.FILLERS, words.STYLE_FORMS)
    found = words_of(*(text for texts in lists for text in texts), *BACKGROUND_FORMS, *BACKGROUNDS)
    found |= words_of(*(w for row in BACKGROUND_SYNONYMS.values() for w in row))
    found |= words_of(*(w for s in SOURCES for w in s.style_words))
    return sorted(found | concept_words(concepts) | set(filler_words(cache, concepts)))
