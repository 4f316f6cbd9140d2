import re
from pathlib import Path

import pytest

from photogram.web.guide import Guide
from tests.pages import GUIDE, ROOT


def write(folder: Path, **pages: str) -> Guide:
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text)
    return Guide(folder, address="/g/{}".format, additions={"two": lambda: "## Added"})


@pytest.fixture
def guide(tmp_path: Path) -> Guide:
    first = "# First\n\n[two](two.md), [one](one.md) and [two](two.md) again"
    return write(tmp_path, README=first, one="# One\n\n[up](README.md#x)", two="# Two\n")


def test_chapters_stand_in_the_order_of_the_first_page(guide: Guide) -> None:
    assert guide.titles == {"": "First", "two": "Two", "one": "One"}
    assert guide.neighbours("") == (None, "two")
    assert guide.neighbours("two") == ("", "one")
    assert guide.neighbours("one") == ("two", None)


def test_links_between_texts_become_links_between_chapters(guide: Guide) -> None:
    first, one = guide.chapter(""), guide.chapter("one")
    assert first is not None
    assert one is not None
    assert '<a href="/g/two">' in first.html
    assert '<a href="/g/#x">' in one.html


def test_an_addition_stands_at_the_end_of_its_chapter(guide: Guide) -> None:
    two = guide.chapter("two")
    assert two is not None
    assert [heading.text for heading in two.headings] == ["Added"]


def test_there_is_no_other_chapter(guide: Guide) -> None:
    assert guide.chapter("three") is None
    assert guide.chapter("../two") is None


def test_a_link_out_of_the_guide_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").touch()
    with pytest.raises(ValueError, match=r"secret\.txt"):
        write(tmp_path, README="# First\n\n[x](secret.txt)").chapter("")


def test_every_link_of_the_guide_leads_to_a_chapter_and_a_heading() -> None:
    guide = Guide(GUIDE, address="/g/{}".format, additions={})
    chapters = {slug: guide.chapter(slug) for slug in guide.files}
    anchors = {
        slug: {heading.anchor for heading in chapter.headings} if chapter else set()
        for slug, chapter in chapters.items()
    }
    for slug, chapter in chapters.items():
        assert chapter is not None
        for link in re.findall(r'href="([^"]+)"', chapter.html):
            if link.startswith(("/g/", "#")):
                path, _, anchor = link.partition("#")
                target = path.removeprefix("/g/") if path else slug
                assert not anchor or anchor in anchors[target], f"{slug}: {link}"


def test_the_readme_links_to_files_that_are_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text()):
        assert link.startswith("https://") or (ROOT / link).exists(), link
