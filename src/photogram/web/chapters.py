"""The guide on the server: its chapters at ``/docs/guide``, and the pictures in them.

The folder of the texts and the API's document come in, routes go out.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from photogram.web.guide import Guide
from photogram.web.reference import write_reference
from photogram.web.rendering import Renderer

GUIDE_PATH: Final = "/docs/guide"

REFERENCE: Final = "reference"
"""The chapter at whose end the reference of the API stands."""


def create_chapters(
    folder: Path, openapi: Callable[[], Mapping[str, object]], renderer: Renderer
) -> list[BaseRoute]:
    """The routes of the guide.

    Args:
        folder: As `Guide` takes it.
        openapi: The API's document.
        renderer: Makes the pages.
    """
    guide = Guide(
        folder,
        address=lambda slug: f"{renderer.root}{GUIDE_PATH}{'/' * bool(slug)}{slug}",
        additions={REFERENCE: lambda: write_reference(openapi())},
    )

    # Not a coroutine: a chapter that is rendered for the first time must not keep others waiting.
    def show_chapter(request: Request) -> Response:
        chapter = guide.chapter(request.path_params.get("slug", ""))
        if chapter is None:
            raise HTTPException(404)
        return renderer.page(request, "guide.html", chapter=chapter, guide=guide)

    return [
        Route(GUIDE_PATH, show_chapter, methods=["GET"]),
        Route(f"{GUIDE_PATH}/{{slug}}", show_chapter, methods=["GET"]),
        Mount(f"{GUIDE_PATH}/pictures", StaticFiles(directory=guide.pictures)),
    ]
