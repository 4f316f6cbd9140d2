"""The pages of the documentation, and the blocks of code in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from photogram.web.guide import Guide
from photogram.web.markdown import UNTESTED

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "guide"
RUN = ("sh", "python", "js")
"""What is a command; other blocks show files and answers."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block that a reader would run.

    Attributes:
        untested: Why it cannot be run in a test; empty if it can.
    """

    place: str
    language: str
    untested: str
    code: str


def blocks() -> Iterator[Block]:
    """Of the README, then of the guide's chapters in their order; what is repeated comes once."""
    guide = Guide(GUIDE, address=str, additions={})
    seen = set()
    for page in (ROOT / "README.md", *guide.files.values()):
        for token in MarkdownIt("commonmark").parse(page.read_text()):
            language, _, rest = token.info.partition(" ")
            if token.type != "fence" or language not in RUN or token.content in seen:
                continue
            seen.add(token.content)
            assert token.map is not None
            yield Block(
                place=f"{page.relative_to(ROOT)}:{token.map[0] + 1}",
                language=language,
                untested=rest.removeprefix(UNTESTED).strip(),
                code=token.content,
            )
