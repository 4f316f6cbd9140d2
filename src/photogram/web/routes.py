"""The routes of the pages: a site comes in, routes go out that belong to no API.

None of them takes a key. What is somebody's own, the playground's script asks the API for; the
account's pages (`web.account`) show it to who is signed in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from photogram.accounts.browsers import CUSTOMER, cookie_name, is_secure
from photogram.core.messages import ModelInfo
from photogram.web.account import Desk, create_account_pages
from photogram.web.chapters import GUIDE_PATH, create_chapters
from photogram.web.playground import Attribute, view_of
from photogram.web.rendering import Link, Renderer, open_assets

_NAVIGATION = (Link("/", "Playground"), Link("/account", "Account"))
_GUIDE = Link(GUIDE_PATH, "Guide")


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages show.

    Attributes:
        attributes: The table of the API.
        models: Says what can be painted with, the default one first.
        desk: What the account's pages stand on.
        public_url: What browsers reach the server under; None: what each called.
        guide: Folder of the guide's texts; where it is missing, there is no guide.
        openapi: The document of the API.
    """

    attributes: Sequence[Attribute]
    models: Callable[[], Sequence[ModelInfo]]
    desk: Desk
    public_url: str | None
    guide: Path
    openapi: Callable[[], Mapping[str, object]]


def create_pages(site: Site) -> list[BaseRoute]:
    """All pages, and the files that they load."""
    assets = open_assets()
    has_guide = site.guide.is_dir()
    navigation = (*_NAVIGATION, _GUIDE) if has_guide else _NAVIGATION
    renderer = Renderer(assets, navigation, site.public_url)

    async def show_playground(request: Request) -> Response:
        secure = is_secure(request.url.scheme, site.public_url)
        has_session = cookie_name(CUSTOMER, secure=secure) in request.cookies
        view = view_of(site.attributes, site.models(), has_session=has_session)
        return renderer.page(request, "playground.html", view=view)

    return [
        Route("/", show_playground, methods=["GET"]),
        *create_account_pages(site.desk, renderer),
        Route(assets.path, assets.serve, methods=["GET"]),
        *(create_chapters(site.guide, site.openapi, renderer) if has_guide else ()),
    ]
