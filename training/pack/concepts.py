"""More things than anybody chose by hand: emoji that most sets have, named by Unicode, with keywords.

Comes in: the emoji tables, the drawn sets and the chosen concepts. Goes out: rows for `more_concepts.json`, in the
order of what people ask for by group. For a run that can afford them; a small one takes the chosen ones alone.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from training.data.fetch import package_folder
from training.data.names import Emoji, load_emoji
from training.data.pictures import Concept, PictureStore, plain
from training.data.sources import WORD_PACKAGES

GROUPS = (
    "Animals & Nature", "Food & Drink", "Objects", "Travel & Places", "Activities",
    "Smileys & Emotion", "People & Body",
)  # fmt: skip
SETS_NEEDED = 5
SYNONYMS_KEPT = 5
# Names that differ by a number, or say a couple of people: pictures that words hardly tell apart.
LEFT_OUT = re.compile(r"\d|o.clock|thirty|:|keycap|^(man|woman|men|women) |couple|kiss, |family")
WORDS = re.compile(r"[a-z][a-z' -]{2,24}")


def more_concepts(
    store: PictureStore, cache: Path, chosen: list[Concept], count: int
) -> list[Concept]:
    """Return `count` further concepts, fewer where the sets have no more."""
    sets = Counter(picture.emoji for picture in store.pictures)
    known = {plain(concept.emoji) for concept in chosen}
    taken = {word.lower() for c in chosen for word in (c.name, *c.synonyms)}
    rows = [emoji for emoji in load_emoji(cache) if _is_wanted(emoji, sets, known)]
    rows.sort(key=lambda emoji: GROUPS.index(emoji.group))
    rows = [emoji for emoji in rows if _name(emoji) not in taken][:count]
    taken |= {_name(emoji) for emoji in rows}
    keywords = _keywords(cache)
    uses = Counter(word for emoji in rows for word in keywords[emoji.characters])
    return [
        Concept(
            name=_name(emoji),
            emoji=emoji.characters,
            synonyms=tuple(
                word
                for word in keywords[emoji.characters]
                if uses[word] == 1 and word not in taken and not _is_name(word, emoji)
            )[:SYNONYMS_KEPT],
            plural=None,
            takes_colour=False,
        )
        for emoji in rows
    ]


def _is_wanted(emoji: Emoji, sets: Counter[str], known: set[str]) -> bool:
    character = plain(emoji.characters)
    return (
        sets[character] >= SETS_NEEDED
        and character not in known
        and emoji.group in GROUPS
        and not LEFT_OUT.search(emoji.name)
    )


def _name(emoji: Emoji) -> str:
    return emoji.name.lower().replace("\u2019", "'")


def _is_name(word: str, emoji: Emoji) -> bool:
    """Tell whether a keyword is the name in another spelling."""
    return re.sub(r"\W", "", word) == re.sub(r"\W", "", _name(emoji))


def _keywords(cache: Path) -> dict[str, tuple[str, ...]]:
    """Return the keywords of every emoji, once each, spelled as people write them."""
    package, version = WORD_PACKAGES[1]
    path = package_folder(cache, package, version) / "dist" / "emoji-en-US.json"
    table: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    spelled = {
        key: dict.fromkeys(word.replace("_", " ").lower() for word in words)
        for key, words in table.items()
    }
    return {key: tuple(w for w in words if WORDS.fullmatch(w)) for key, words in spelled.items()}
