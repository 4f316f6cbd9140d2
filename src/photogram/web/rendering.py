"""Templates to pages.

The name of a template and what it shows come in, an HTML answer goes out, with the headers that
keep it from running or loading anything that is not this server's own. It knows no route.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from photogram.web.assets import Assets

_FOLDER = Path(__file__).parent
STATIC: Final = _FOLDER / "static"

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Scripts and styles are files of ours; previews arrive as data URLs."""

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_CODE = re.compile(r"`([^`]+)`")
_EMPHASIS = re.compile(r"\*(\w+)\*")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")


@dataclass(frozen=True, slots=True)
class Link:
    """An entry of the navigation.

    Attributes:
        path: From the root of the server.
    """

    path: str
    title: str


class Renderer:
    """Makes pages of the templates of this package.

    Args:
        assets: What the pages load.
        navigation: What every page links to.
        public_url: What browsers reach the server under; None: its own root.

    Attributes:
        root: What paths begin with, as browsers see them.
    """

    def __init__(
        self, assets: Assets, navigation: tuple[Link, ...], public_url: str | None
    ) -> None:
        self.root = root = urlsplit(public_url or "").path.rstrip("/")
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["marked_up"] = marked_up
        self._environment.globals.update(
            root=root,
            asset=lambda name: root + assets.url(name),
            navigation=navigation,
        )

    def page(
        self, request: Request, template: str, status: int = 200, **values: object
    ) -> HTMLResponse:
        """A page.

        Args:
            request: What is answered.
            template: The file's name.
            status: Of the answer.
            **values: What the template shows; text is escaped.
        """
        html = self.render(template, request.url.path, **values)
        return HTMLResponse(html, status, headers=_HEADERS)

    def render(self, template: str, here: str, **values: object) -> str:
        """The HTML of a page whose path is `here`."""
        return self._environment.get_template(template).render(here=here, **values)


def open_assets() -> Assets:
    """The files of this package."""
    return Assets(STATIC)


def marked_up(text: str) -> Markup:
    """The little markup that notes have: `code` and *emphasis*; of links, only the words."""
    html = _CODE.sub(r"<code>\1</code>", str(escape(_LINK.sub(r"\1", text))))
    return Markup(_EMPHASIS.sub(r"<em>\1</em>", html))  # noqa: S704 - escaped before
