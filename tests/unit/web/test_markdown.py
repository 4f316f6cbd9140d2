import pytest
from pygments.util import ClassNotFound

from photogram.web.markdown import Heading, to_page


def html(text: str) -> str:
    return str(to_page(text, lambda address: address).html)


def test_headings_have_the_anchors_that_code_hosts_give_them() -> None:
    page = to_page("# Title\n\n## OpenAI's `n`, or: two\n\n### Same\n\n### Same\n", str)
    assert page.headings == (
        Heading(2, "OpenAI's n, or: two", "openais-n-or-two"),
        Heading(3, "Same", "same"),
        Heading(3, "Same", "same-1"),
    )
    assert '<h2 id="openais-n-or-two">' in page.html


def test_markup_in_a_text_stays_text() -> None:
    page = html("<img onerror=1 src=x> `<b>` [x](javascript:alert)\n\n```sh\n<script>\n```\n")
    for written in ("<img", "<b>", "<script", 'href="javascript'):
        assert written not in page


def test_addresses_of_links_and_pictures_are_resolved() -> None:
    page = to_page("[a](b.md#c) ![d](e.webp)", lambda address: f"/x/{address}")
    assert 'href="/x/b.md#c"' in page.html
    assert 'src="/x/e.webp"' in page.html


def test_code_is_coloured_by_classes_alone() -> None:
    page = html('```python\nx = "a"  # b\n```\n')
    assert '<span class="s2">' in page
    assert '<span class="c1">' in page
    assert "style=" not in page


def test_a_block_that_no_test_runs_says_why() -> None:
    page = html("```sh untested: it needs <root>\nreboot\n```\n")
    assert '<p class="untested">Not run by a test: it needs &lt;root&gt;.</p>' in page


def test_a_language_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ClassNotFound):
        html("```pyton\n```\n")


def test_a_wide_table_scrolls_by_itself() -> None:
    page = html("| a |\n|---|\n| b |\n")
    assert page.startswith('<div class="scroll"')
    assert page.rstrip().endswith("</div>")
