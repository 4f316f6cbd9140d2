"""Build the guide as pages that need no server: ``python -m tools.guide FOLDER``.

The chapters, templates and styles are those that a server shows at ``/docs/guide``; only the addresses
are relative, so that the folder may lie anywhere.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from photogram.bootstrap.app import GUIDE, build_app
from photogram.bootstrap.services import address_guard, build_services
from photogram.bootstrap.store import open_store
from photogram.core.settings import Settings
from photogram.engine.fake import FakeEngine
from photogram.generation.catalogue import Catalogue
from photogram.ledger.pricing import PriceTable
from photogram.web.chapters import REFERENCE
from photogram.web.guide import Guide
from photogram.web.reference import write_reference
from photogram.web.rendering import STATIC, Renderer, open_assets
from photogram.webhooks.courier import Courier


def main(folder: Path) -> None:
    """Write all pages into a folder, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    assets = open_assets()
    shutil.copytree(STATIC, folder / "static" / assets.version)
    renderer = Renderer(assets, navigation=(), public_url=".")
    guide = Guide(GUIDE, _file_of, {REFERENCE: lambda: write_reference(openapi())})
    shutil.copytree(guide.pictures, folder / "pictures")
    for slug in guide.files:
        page = renderer.render("guide.html", "", chapter=guide.chapter(slug), guide=guide)
        (folder / _file_of(slug)).write_text(page)
    print(f"{len(guide.files)} pages; open {folder / _file_of('')}")


def openapi() -> dict[str, Any]:
    """The API's document, of a server that never starts."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder))
        with open_store(settings) as store:
            courier = Courier(store.database, address_guard(settings))
            engine = FakeEngine()
            prices = PriceTable(
                settings.price_per_image, settings.price_per_step, settings.price_guidance_rate
            )
            catalogue = Catalogue([(engine.model, prices)])
            services = build_services(settings, store, engine, catalogue, "guide", courier)
            return build_app(services).openapi()


def _file_of(slug: str) -> str:
    return slug if slug.startswith("pictures/") else f"{slug or 'index'}.html"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
