import pytest
from starlette.requests import Request

from photogram.web.rendering import Link, Renderer, marked_up, open_assets

NAVIGATION = (Link("/", "Playground"), Link("/account", "Account"))


def page(public_url: str | None, path: str = "/") -> str:
    renderer = Renderer(open_assets(), NAVIGATION, public_url)
    request = Request({"type": "http", "path": path, "headers": [], "server": ("host", 80)})
    return bytes(renderer.page(request, "base.html").body).decode()


def test_addresses_of_a_page_begin_where_browsers_reach_the_server() -> None:
    html = page("https://example.com/paint")
    assert '<html lang="en" data-root="/paint">' in html
    assert 'href="/paint/account"' in html
    assert 'src="/paint/static/' in html
    assert 'href="/account"' in page(None)


def test_the_navigation_says_where_one_is() -> None:
    assert '<a href="/account" aria-current="page">Account</a>' in page(None, "/account")
    assert '<a href="/account" >Account</a>' in page(None, "/")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("`seed + i` of *i*", "<code>seed + i</code> of <em>i</em>"),
        ("<b>`<i>`", "&lt;b&gt;<code>&lt;i&gt;</code>"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("[begin](#here) now", "begin now"),
    ],
)
def test_notes_have_a_little_markup_and_no_html(text: str, html: str) -> None:
    assert str(marked_up(text)) == html
