"""The pages as the server sends them, without a browser."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from photogram.api.attributes import ATTRIBUTES
from photogram.bootstrap.app import build_app
from tests.unit.api.serving import Site, assert_error


@pytest.fixture
async def browser(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build_app(site.services))
    async with httpx.AsyncClient(transport=transport, base_url="http://photogram") as client:
        yield client


async def test_the_playground_needs_no_key(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"


async def test_it_has_a_control_with_the_limits_of_every_attribute(
    browser: httpx.AsyncClient,
) -> None:
    page = (await browser.get("/")).text
    for attribute in ATTRIBUTES:
        if attribute.name in ("base64", "previews"):  # of the answer, not of the picture
            continue
        assert f'id="{attribute.name}-hint"' in page
        if attribute.kind in ("picture", "list"):
            continue
        control = re.findall(rf'<[^>]*\bname="{attribute.name}"[^>]*>', page)[0]
        if attribute.kind in ("integer", "number"):
            assert f'min="{attribute.minimum}"' in control
            assert f'max="{attribute.maximum}"' in control
            assert f'value="{attribute.default}"' in control
        for choice in attribute.choices:
            assert f'value="{choice}"' in page


async def test_a_page_loads_and_runs_nothing_but_its_own_files(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "style=" not in answer.text
    assert not re.search(r"\son\w+=", answer.text)
    for script in re.findall(r"<script[^>]*>", answer.text):
        assert "src=" in script or 'type="application/json"' in script


async def test_every_file_that_a_page_names_is_there(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/")).text
    files = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page))
    assert len(files) >= 4
    for file in files:
        answer = await browser.get(file)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]


async def test_the_api_answers_as_ever_beside_the_pages(
    browser: httpx.AsyncClient, site: Site
) -> None:
    assert_error(await browser.post("/"), 405, "method_not_allowed")
    assert_error(await browser.get("/v1/flux-dev"), 405, "method_not_allowed")
    assert_error(await browser.get("/none"), 404, "not_found")
    assert_error(await browser.get("/static/x/none.js"), 404, "not_found")
    painted = await browser.post("/v1/flux-dev", json={"prompt": "a fox"}, headers=site.headers)
    assert painted.headers["content-type"] == "image/webp"


async def test_the_guide_is_there_with_every_chapter(browser: httpx.AsyncClient) -> None:
    first = await browser.get("/docs/guide")
    chapters = set(re.findall(r'href="(/docs/guide/[\w-]+)"', first.text))
    assert len(chapters) >= 10
    for chapter in chapters:
        answer = await browser.get(chapter)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert 'aria-current="page">Guide' in answer.text
        assert "style=" not in answer.text


async def test_its_reference_tells_what_this_server_answers(browser: httpx.AsyncClient) -> None:
    document = (await browser.get("/openapi.json")).json()
    page = (await browser.get("/docs/guide/reference")).text
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"<code>{method.upper()} {path}</code></h2>" in page


async def test_pictures_of_the_guide_are_served_and_nothing_beside_them(
    browser: httpx.AsyncClient,
) -> None:
    picture = await browser.get("/docs/guide/pictures/guidance.webp")
    assert picture.headers["content-type"] == "image/webp"
    for path in ("none", "none.webp", "pictures/none.webp", "pictures/..%2fLOG.md", "pictures/"):
        assert_error(await browser.get(f"/docs/guide/{path}"), 404, "not_found")
