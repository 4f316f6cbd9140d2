"""Fixtures for whatever asks the API: an app of its own over a fake engine, and a client."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.unit.api.serving import Site, client_of, open_site, serve


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An app with an account that has ten credits and a key."""
    with open_site(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def url(site: Site) -> Iterator[str]:
    """Where a real socket serves it."""
    with serve(site) as served:
        yield served


@pytest.fixture
async def client(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """Asks it without a socket."""
    async with client_of(site) as opened:
        yield opened
