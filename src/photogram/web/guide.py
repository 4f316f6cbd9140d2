"""The guide: a folder of Markdown comes in, chapters go out.

The folder's ``README.md`` is its first page, and the texts that it links to are the chapters, in that
order; they may lie beside the folder too. Chapters are rendered when they are first asked for. It
knows neither routes nor templates.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from photogram.web.markdown import Heading, to_page

_CHAPTER = re.compile(r"\]\(([\w./-]+\.md)\)")


@dataclass(frozen=True, slots=True)
class Chapter:
    """One chapter, ready to be shown.

    Attributes:
        slug: Its name in addresses; empty for the first page.
    """

    slug: str
    title: str
    html: Markup
    headings: tuple[Heading, ...]


class Guide:
    """All chapters of a folder.

    Args:
        folder: Where ``README.md`` is.
        address: Where a slug is found, or, below ``pictures/``, a picture.
        additions: What is written when it is asked for, and stands at a chapter's end, by slug.

    Attributes:
        files: Of all chapters by slug, in order; the first page's slug is empty.
        titles: The same, by slug.
    """

    def __init__(
        self,
        folder: Path,
        address: Callable[[str], str],
        additions: Mapping[str, Callable[[], str]],
    ) -> None:
        first = (folder / "README.md").resolve()
        linked = dict.fromkeys(_CHAPTER.findall(first.read_text()))
        files = [(folder / name).resolve() for name in linked]
        self.files = {"": first} | {file.stem: file for file in files}
        self._slugs = {file: slug for slug, file in self.files.items()}
        self._address = address
        self._additions = additions
        self._chapters: dict[str, Chapter] = {}
        self.titles = {slug: _title(file) for slug, file in self.files.items()}
        self.pictures = folder.resolve().parent / "pictures"

    def address(self, slug: str) -> str:
        """Where a chapter is found."""
        return self._address(slug)

    def chapter(self, slug: str) -> Chapter | None:
        """A chapter; None if there is none of that name.

        Raises:
            ValueError: It links to a file that is no part of the guide.
        """
        if slug in self.files and slug not in self._chapters:
            self._chapters[slug] = self._render(slug)
        return self._chapters.get(slug)

    def neighbours(self, slug: str) -> tuple[str | None, str | None]:
        """The slugs before and after one."""
        slugs = list(self.files)
        at = slugs.index(slug)
        before = slugs[at - 1] if at else None
        return before, slugs[at + 1] if at + 1 < len(slugs) else None

    def _render(self, slug: str) -> Chapter:
        file = self.files[slug]
        text = file.read_text()
        if slug in self._additions:
            text += f"\n{self._additions[slug]()}"
        page = to_page(text, lambda address: self._resolve(file, address))
        return Chapter(slug, self.titles[slug], page.html, page.headings)

    def _resolve(self, file: Path, address: str) -> str:
        if address.startswith(("#", "https://", "http://")):
            return address
        path, mark, anchor = address.partition("#")
        target = (file.parent / path).resolve()
        if target in self._slugs:
            return self._address(self._slugs[target]) + mark + anchor
        if target.parent == self.pictures and target.is_file():
            return self._address(f"pictures/{target.name}")
        raise ValueError(f"{file}: {address} is no part of the guide")


def _title(file: Path) -> str:
    return file.read_text().partition("\n")[0].removeprefix("# ")
