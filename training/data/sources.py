"""The picture sets, pinned: which packages, which licence, which words name each style.

Comes in: nothing. Goes out: `SOURCES`, one row per set, `WORD_PACKAGES`, the two tables that turn an
emoji into a name, and `UNSEEN_PACKAGE`, a set for measuring only. It knows neither how a package is fetched nor how a picture is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """One picture set: npm package, exact version, licence, author, and its style in words."""

    key: str
    package: str
    version: str
    kind: str  # "webp": files named by code point; "svg": one Iconify JSON of SVG bodies
    licence: str
    author: str
    homepage: str
    style: str
    style_words: tuple[str, ...]


SOURCES: tuple[Source, ...] = (
    Source(
        "fluent3d", "@lobehub/fluent-emoji-3d", "1.1.0", "webp", "MIT",
        "Microsoft Corporation (Fluent Emoji), packaged by LobeHub",
        "github.com/microsoft/fluentui-emoji",
        "3d render", ("3d", "3d render", "3d rendered", "fluent 3d", "realistic"),
    ),
    Source(
        "fluent", "@iconify-json/fluent-emoji", "1.2.7", "svg", "MIT",
        "Microsoft Corporation (Fluent Emoji)", "github.com/microsoft/fluentui-emoji",
        "gradient", ("gradient", "glossy", "soft gradient", "shiny"),
    ),
    Source(
        "flat", "@iconify-json/fluent-emoji-flat", "1.2.6", "svg", "MIT",
        "Microsoft Corporation (Fluent Emoji)", "github.com/microsoft/fluentui-emoji",
        "flat", ("flat", "flat design", "minimal", "flat vector"),
    ),
    Source(
        "noto", "@iconify-json/noto", "1.2.9", "svg", "Apache-2.0",
        "Google Inc (Noto Emoji)", "github.com/googlefonts/noto-emoji",
        "noto", ("noto", "cartoon", "clip art"),
    ),
    Source(
        "noto1", "@iconify-json/noto-v1", "1.2.5", "svg", "Apache-2.0",
        "Google Inc (Noto Emoji, 2014-2017)", "github.com/googlefonts/noto-emoji",
        "blob", ("blob", "vintage"),
    ),
    Source(
        "fxemoji", "@iconify-json/fxemoji", "1.2.2", "svg", "Apache-2.0",
        "Mozilla (FxEmojis)", "github.com/mozilla/fxemoji",
        "pastel", ("pastel", "soft flat"),
    ),
    Source(
        "twemoji", "@iconify-json/twemoji", "1.2.5", "svg", "CC-BY-4.0",
        "Twitter, Inc. and other contributors (Twemoji)", "github.com/jdecked/twemoji",
        "sticker", ("sticker", "twemoji"),
    ),
    Source(
        "emojione", "@iconify-json/emojione", "1.2.3", "svg", "CC-BY-4.0",
        "EmojiOne / Emoji Two contributors (version 2.3)", "github.com/EmojiTwo/emojitwo",
        "icon", ("icon", "emojione", "simple icon"),
    ),
)  # fmt: skip

# Names and groups of emoji; MIT both.
WORD_PACKAGES: tuple[tuple[str, str], ...] = (
    ("unicode-emoji-json", "0.9.0"),
    ("emojilib", "4.0.3"),
)

# Pictures that nothing is ever trained on; the autoencoder is measured on them. MIT.
UNSEEN_PACKAGE: tuple[str, str] = ("@iconify-json/flat-color-icons", "1.2.3")


def source(key: str) -> Source:
    """Return the source named `key`; an unknown key is a programmer's error."""
    return next(row for row in SOURCES if row.key == key)
