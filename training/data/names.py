"""Find the picture of an emoji in a set: by code points, by slug, or by the set's own name.

Comes in: unpacked packages. Goes out: `Emoji` rows (character, name, group) and, per source, a lookup from
an emoji to what `training.data.render` draws.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.fetch import package_folder
from training.data.sources import WORD_PACKAGES, Source

# The names of old sets differ from today's Unicode names; only what our concepts need.
OWN_NAMES: dict[str, tuple[str, ...]] = {
    "desktop computer": ("desktop",),
    "laptop": ("laptop-computer", "personalcomputer"),
    "smiling face with sunglasses": ("smilingfacewsunglasses", "sunglasses"),
    "smiling face with heart-eyes": (
        "smiling-face-with-heart-eyes",
        "smilingfacewithheartshapedeyes",
    ),
    "grinning face": ("grinningface",),
    "loudly crying face": ("loudlycryingface",),
    "enraged face": ("pouting-face", "poutingface"),
    "red heart": ("heart", "heavy-black-heart", "heavyblackheart"),
    "sun": ("black-sun-with-rays", "blacksunwithrays", "sunwithrays"),
    "automobile": ("car", "red-car"),
    "mobile phone": ("mobilephone",),
    "television": ("tv",),
    "wrapped gift": ("wrapped-present", "wrappedpresent"),
    "hot beverage": ("hotbeverage", "coffee"),
    "beer mug": ("beermug",),
    "cooking": ("cooking", "fried-egg"),
    "doughnut": ("donut",),
    "bus": ("bus",),
    "front-facing baby chick": ("front-facing-baby-chick", "frontfacingbabychick"),
    "lady beetle": ("ladybeetle", "beetle", "ladybug", "ladybird"),
    "snowman without snow": ("snowmanwithoutsnow", "snowman"),
    "globe showing Europe-Africa": ("globe-showing-europe-africa", "earthglobeeuropeafrica"),
    "ear of corn": ("earofcorn", "earofmaize", "ear-of-maize"),
    "soft ice cream": ("softicecream",),
    "light bulb": ("electriclightbulb", "electric-light-bulb"),
    "unicorn": ("unicorn-face", "unicornface"),
    "lion": ("lion-face", "lionface"),
    "fox": ("fox-face", "foxface"),
    "bear": ("bear-face", "bearface"),
    "koala": ("koala-face", "koala"),
    "panda": ("panda-face", "pandaface"),
    "frog": ("frog-face", "frogface"),
    "robot": ("robot-face", "robotface"),
    "alien": ("extraterrestrial-alien", "extraterrestrialalien"),
    "T-shirt": ("tshirt", "t-shirt"),
    "t-shirt": ("tshirt", "t-shirt"),
    "cheese wedge": ("cheese", "cheesewedge"),
    "crescent moon": ("crescentmoon",),
    "star": ("whitemediumstar", "white-medium-star"),
    "jack-o-lantern": ("jackolantern",),
    "gem stone": ("gemstone",),
    "honeybee": ("honeybee", "bee"),
    "money bag": ("moneybag",),
    "tangerine": ("tangerine",),
}


@dataclass(frozen=True, slots=True)
class Emoji:
    """One emoji: its characters, its Unicode name and its group."""

    characters: str
    name: str
    group: str

    @property
    def code(self) -> str:
        """Code points in hex, joined by dashes, as file names have them."""
        return "-".join(f"{ord(character):04x}" for character in self.characters)


def slugify(name: str) -> str:
    """Return `name` as Iconify slugs have it: lower case, words joined by dashes."""
    plain = (
        name.lower().replace("\u2019", "").replace("'", "").replace("ñ", "n").replace("&", "and")
    )
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def load_emoji(cache: Path) -> list[Emoji]:
    """Return every emoji but flags, in Unicode's order, without skin tones."""
    package, version = WORD_PACKAGES[0]
    path = package_folder(cache, package, version) / "data-by-emoji.json"
    table: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    rows = [Emoji(char, row["name"], row["group"]) for char, row in table.items()]
    return [row for row in rows if row.group != "Flags"]


def candidates(emoji: Emoji) -> list[str]:
    """Return the slugs under which a set may keep `emoji`, best first."""
    slug = slugify(emoji.name)
    names = [slug, slug.replace("-", ""), *OWN_NAMES.get(emoji.name, ())]
    return list(dict.fromkeys(names))


class IconSet:
    """One Iconify JSON: finds the SVG text of an emoji, following aliases and flips."""

    def __init__(self, folder: Path) -> None:
        self.table: dict[str, Any] = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
        self.icons: dict[str, Any] = self.table["icons"]
        self.aliases: dict[str, Any] = self.table.get("aliases", {})
        chars = folder / "chars.json"
        self.by_code: dict[str, str] = (
            json.loads(chars.read_text(encoding="utf-8")) if chars.is_file() else {}
        )

    def find(self, emoji: Emoji) -> str | None:
        """Return the slug of `emoji` in this set, or None where the set lacks it."""
        code = emoji.code
        bare = "-".join(part for part in code.split("-") if part != "fe0f")
        for key in (code, bare):
            if key in self.by_code:
                return self.by_code[key]
        return next((s for s in candidates(emoji) if s in self.icons or s in self.aliases), None)

    def svg(self, slug: str) -> str:
        """Return the whole SVG document of `slug`."""
        flip = ""
        while slug not in self.icons:
            alias = self.aliases[slug]
            slug = alias["parent"]
            flip = "h" if alias.get("hFlip") else flip
        icon = self.icons[slug]
        left, top = icon.get("left", 0), icon.get("top", 0)
        width = icon.get("width", self.table.get("width", 16))
        height = icon.get("height", self.table.get("height", 16))
        body = icon["body"]
        if flip:
            body = f'<g transform="translate({2 * left + width} 0) scale(-1 1)">{body}</g>'
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{left} {top} {width} {height}">{body}</svg>'
        )


def find_webp(folder: Path, emoji: Emoji) -> Path | None:
    """Return the file of `emoji` in a set whose files are named by code points."""
    code = emoji.code
    names = (code, f"{code}-fe0f", "-".join(p for p in code.split("-") if p != "fe0f"))
    paths = (folder / "assets" / f"{name}.webp" for name in names)
    return next((path for path in paths if path.is_file()), None)


def open_set(cache: Path, row: Source) -> IconSet | Path:
    """Return what finds pictures in `row`: an icon set, or a folder of files."""
    folder = package_folder(cache, row.package, row.version)
    return folder if row.kind == "webp" else IconSet(folder)
