import gzip
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from photogram.web.assets import Assets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "page.js").write_text("import './other.js';")
    (tmp_path / "other.js").write_text("let one = 1;" * 100)
    (tmp_path / "notes.txt").write_text("not for the page")
    return tmp_path


def client_of(assets: Assets) -> httpx.AsyncClient:
    app = Starlette(routes=[Route(assets.path, assets.serve)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://photogram")


async def test_a_file_may_be_kept_for_good_under_its_version(folder: Path) -> None:
    assets = Assets(folder)
    async with client_of(assets) as client:
        answer = await client.get(assets.url("page.js"))
    assert answer.text == "import './other.js';"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"


def test_the_version_is_the_content_of_all_files(folder: Path) -> None:
    before, again = Assets(folder).version, Assets(folder).version
    (folder / "other.js").write_text("let two = 2;")
    assert before == again
    assert Assets(folder).version != before


async def test_a_page_of_another_server_gets_what_is_here_but_not_to_keep(folder: Path) -> None:
    async with client_of(Assets(folder)) as client:
        answer = await client.get("/static/0123456789ab/page.js")
    assert answer.text == "import './other.js';"
    assert answer.headers["cache-control"] == "no-cache"


async def test_files_are_sent_compressed_where_that_is_understood(folder: Path) -> None:
    assets = Assets(folder)
    async with client_of(assets) as client:
        url = assets.url("other.js")
        async with client.stream("GET", url) as answer:
            small = b"".join([chunk async for chunk in answer.aiter_raw()])
        plain = await client.get(url, headers={"accept-encoding": "identity"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(small) == plain.content
    assert len(small) < len(plain.content)


@pytest.mark.parametrize("name", ["none.js", "notes.txt", "..%2Fassets.py", "%2Fetc%2Fpasswd"])
async def test_nothing_else_is_served(folder: Path, name: str) -> None:
    assets = Assets(folder)
    async with client_of(assets) as client:
        answer = await client.get(f"/static/{assets.version}/{name}")
    assert answer.status_code == 404


def test_a_page_cannot_name_a_file_that_is_not_there(folder: Path) -> None:
    with pytest.raises(KeyError):
        Assets(folder).url("none.js")
