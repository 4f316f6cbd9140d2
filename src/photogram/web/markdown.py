"""Markdown to HTML, as the guide is written in it.

A text and a way to resolve its addresses come in; HTML for our own templates goes out, with the
headings that it has. Colours of code are classes, because pages may hold no styles of their own; raw
HTML in a text stays text. It knows no chapters.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers import get_lexer_by_name

UNTESTED = "untested:"
"""Behind the language of a block that no test runs; the reason follows."""

_NO_ANCHOR = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading below the title.

    Attributes:
        level: 2 or more.
        anchor: Its name within the page.
    """

    level: int
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Page:
    """A text as HTML."""

    html: Markup
    headings: tuple[Heading, ...]


def to_page(text: str, resolve: Callable[[str], str]) -> Page:
    """Turn a text into a page.

    Args:
        text: CommonMark, with tables.
        resolve: Says where an address in the text, of a link or a picture, leads to from the page.
    """
    parser = MarkdownIt("commonmark", {"html": False, "highlight": _colour}).enable("table")
    tokens: list[Token] = []
    headings: list[Heading] = []
    for token in parser.parse(text):
        for child in token.children or ():
            for name in ("href", "src"):
                if name in child.attrs:
                    child.attrSet(name, resolve(str(child.attrs[name])))
        if token.type == "inline" and tokens[-1].type == "heading_open":
            headings.append(_name_heading(tokens[-1], token, headings))
        # A wide table scrolls by itself, also by the keyboard.
        if token.type == "table_open":
            tokens.append(
                _raw('<div class="scroll" role="region" aria-label="Table" tabindex="0">')
            )
        tokens.append(token)
        if token.type == "table_close":
            tokens.append(_raw("</div>"))
    html = parser.renderer.render(tokens, parser.options, {})
    return Page(Markup(html), tuple(each for each in headings if each.level > 1))  # noqa: S704 - made by the renderer, which escapes


def _name_heading(opening: Token, inline: Token, before: Sequence[Heading]) -> Heading:
    """Give a heading its anchor: the one that code hosts give it, so that links hold there too."""
    children = inline.children or []
    text = "".join(each.content for each in children if each.type in ("text", "code_inline"))
    anchor = _NO_ANCHOR.sub("", text.lower()).replace(" ", "-")
    num_same = sum(each.text == text for each in before)
    anchor += f"-{num_same}" if num_same else ""
    opening.attrSet("id", anchor)
    return Heading(int(opening.tag[1:]), text, anchor)


def _raw(html: str) -> Token:
    return Token("html_block", "", 0, content=html)


def _colour(code: str, language: str, rest: str) -> str:
    """A block of code, with the reason why no test runs it, if there is one."""
    coloured = highlight(code, get_lexer_by_name(language or "text"), HtmlFormatter(nowrap=True))
    block = f'<pre tabindex="0"><code>{coloured}</code></pre>'
    if rest.startswith(UNTESTED):
        block += (
            f'<p class="untested">Not run by a test: {escape(rest[len(UNTESTED) :].strip())}.</p>'
        )
    return block
