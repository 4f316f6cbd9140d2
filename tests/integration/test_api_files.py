"""Files that are fetched by their names, and those that accounts upload."""

import asyncio
import base64
import contextlib
import io
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from PIL import ExifTags, Image

from photogram.api.app import create_app
from photogram.api.deps import MAX_CONVERSIONS, MAX_UPLOADS
from photogram.core import clock
from photogram.generation.files import MAX_UPLOADED_BYTES
from photogram.generation.records import StoredFile
from photogram.generation.repository import assets
from photogram.generation.retention import Retention
from photogram.storage.blobs import BlobFolder
from tests.unit.api.serving import PROMPT, Site, assert_error, client_of, open_site

UPLOAD = "/upload-asset"


@pytest.fixture
async def anyone(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    transport = httpx.ASGITransport(create_app(site.services))
    async with httpx.AsyncClient(transport=transport, base_url="http://photogram") as opened:
        yield opened


def encoded(image_format: str = "PNG", size: tuple[int, int] = (8, 6), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, image_format, **options)
    return buffer.getvalue()


def data_url(data: bytes, content_type: str = "image/png") -> str:
    return f"data:{content_type};base64,{base64.b64encode(data).decode()}"


async def painted(client: httpx.AsyncClient, **fields: object) -> tuple[str, bytes]:
    """The address of a picture, and what it was sent as."""
    mine = {"x-request-id": "mine"}
    answer = await client.post("/v1/flux-dev", json=PROMPT | fields, headers=mine)
    return (await client.get("/v1/requests/mine")).json()["output"], answer.content


def blobs_of(site: Site) -> BlobFolder:
    return BlobFolder(site.services.folder.path / "results")


@pytest.mark.parametrize(
    ("output_format", "content_type"),
    [("webp", "image/webp"), ("jpg", "image/jpeg"), ("png", "image/png")],
)
async def test_a_file_is_what_was_painted_and_may_be_kept(
    client: httpx.AsyncClient, anyone: httpx.AsyncClient, output_format: str, content_type: str
) -> None:
    url, picture = await painted(client, output_format=output_format)
    answer = await anyone.get(url)
    name = url.rpartition("/")[2]
    assert answer.content == picture
    headers = answer.headers
    assert headers["content-type"] == content_type
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["content-disposition"] == f'inline; filename="{name}"'
    private, max_age, immutable = headers["cache-control"].split(", ")
    assert (private, immutable) == ("private", "immutable")
    assert 7 * 86_400 - 60 <= int(max_age.removeprefix("max-age=")) <= 7 * 86_400
    assert "x-remaining-credits" not in headers
    head = await anyone.head(url)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(picture)))


async def test_what_is_known_already_is_not_sent_again(
    client: httpx.AsyncClient, anyone: httpx.AsyncClient
) -> None:
    url, picture = await painted(client)
    tag = (await anyone.get(url)).headers["etag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        answer = await anyone.get(url, headers={"if-none-match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    other = await anyone.get(url, headers={"if-none-match": '"other"'})
    assert other.content == picture


@pytest.mark.parametrize(
    ("wanted", "begin", "end"),
    [("bytes=0-9", 0, 10), ("bytes=5-", 5, None), ("bytes=10-10", 10, 11)],
)
async def test_a_part_is_sent(
    client: httpx.AsyncClient,
    anyone: httpx.AsyncClient,
    wanted: str,
    begin: int,
    end: int | None,
) -> None:
    url, picture = await painted(client)
    answer = await anyone.get(url, headers={"range": wanted})
    assert (answer.status_code, answer.content) == (206, picture[begin:end])


@pytest.mark.parametrize("wanted", ["bytes=9999999-", "bytes=5-1", "bytes=a-b", "lines=1-2", "x"])
async def test_a_part_that_is_none_is_the_whole(
    client: httpx.AsyncClient, anyone: httpx.AsyncClient, wanted: str
) -> None:
    url, picture = await painted(client)
    answer = await anyone.get(url, headers={"range": wanted})
    assert (answer.status_code, answer.content) == (200, picture)


@pytest.mark.parametrize(
    "name",
    [
        "0" * 32 + ".png",
        "x",
        "..%2f..%2fphotogram.sqlite3",
        "%2e%2e",
        "a%00b",
        "0" * 32 + ".part",
        "%c3%a9",
    ],
)
async def test_any_other_name_is_a_404(anyone: httpx.AsyncClient, name: str) -> None:
    assert_error(await anyone.get(f"/v1/files/{name}"), 404, "not_found")


async def test_a_file_ends_with_its_time(tmp_path: Path) -> None:
    with open_site(tmp_path / "data", results_hours=0) as site:
        async with client_of(site) as client:
            url, _ = await painted(client)
            uploaded = await client.post(UPLOAD, json={"data_urls": [data_url(encoded())]})
            for address in (url, uploaded.json()["file_urls"][0]):
                assert_error(await client.get(address), 404, "not_found")
            assert len(list(blobs_of(site).names())) == 2
            await asyncio.to_thread(Retention(site.services.database, blobs_of(site)).sweep)
            done = await client.get("/v1/requests/mine")
        assert list(blobs_of(site).names()) == []
    assert (done.status_code, done.json()["status"]) == (200, "COMPLETED")


async def test_a_file_that_was_removed_by_hand_is_a_404(
    client: httpx.AsyncClient, anyone: httpx.AsyncClient, site: Site
) -> None:
    url, _ = await painted(client)
    blobs_of(site).remove([url.rpartition("/")[2]])
    assert_error(await anyone.get(url), 404, "not_found")


class TestUploads:
    async def test_they_can_be_fetched_as_they_are(
        self, client: httpx.AsyncClient, anyone: httpx.AsyncClient
    ) -> None:
        files = [
            (encoded("PNG"), "image/png"),
            (encoded("JPEG"), "image/jpeg"),
            (encoded("WEBP"), "image/webp"),
        ]
        # What a file is called does not matter.
        urls = [data_url(data, "image/jpeg") for data, _ in files]
        answer = await client.post(UPLOAD, json={"data_urls": urls})
        assert answer.status_code == 200
        body = answer.json()
        assert body["message"] == "3 uploaded"
        assert body["expires_at"].endswith("Z")
        for url, (data, content_type) in zip(body["file_urls"], files, strict=True):
            assert url.startswith("http://photogram/v1/files/")
            file = await anyone.get(url)
            assert (file.content, file.headers["content-type"]) == (data, content_type)

    async def test_they_outlive_a_sweep(self, client: httpx.AsyncClient, site: Site) -> None:
        await client.post(UPLOAD, json={"data_urls": [data_url(encoded())]})
        ((name, _),) = blobs_of(site).names()
        # Older than a file may get that nobody knows.
        long_ago = (clock.now() - timedelta(hours=2)).timestamp()
        os.utime(blobs_of(site).find(name), (long_ago, long_ago))
        await asyncio.to_thread(Retention(site.services.database, blobs_of(site)).sweep)
        assert [found for found, _ in blobs_of(site).names()] == [name]

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            (None, "data_urls"),
            ("data:image/png;base64,AA==", "list"),
            ([], "1 to 10"),
            ([data_url(encoded())] * 11, "1 to 10"),
            ([1], "data_urls[0]"),
            (["https://example.com/x.png"], "data URL"),
            (["data:image/png,AA=="], "data URL"),
            (["data:image/png;base64,A*=="], "base64"),
            ([data_url(encoded()), data_url(b"<svg/>")], "data_urls[1] must be a PNG"),
            ([data_url(encoded("GIF"), "image/gif")], "PNG, JPEG or WebP"),
            ([data_url(encoded("PNG")[:20])], "PNG, JPEG or WebP"),
            ([data_url(encoded("PNG", (8193, 1)))], "8192"),
            (
                [
                    data_url(
                        encoded(
                            "WEBP",
                            save_all=True,
                            append_images=[Image.new("RGB", (8, 6), "blue")],
                        )
                    )
                ],
                "one picture",
            ),
        ],
    )
    async def test_what_is_no_picture_is_refused(
        self, client: httpx.AsyncClient, site: Site, given: object, told: str
    ) -> None:
        answer = await client.post(UPLOAD, json={"data_urls": given})
        assert_error(answer, 400, "invalid_request")
        assert told in answer.json()["error"]
        assert list(blobs_of(site).names()) == []

    async def test_twenty_mebibytes_are_the_most(self, client: httpx.AsyncClient) -> None:
        body = b'{"data_urls": ["' + b" " * (20 * 2**20)
        assert_error(await client.post(UPLOAD, content=body), 413, "payload_too_large")
        nearly = encoded() + b"\0" * (14 * 2**20)  # more than other routes take
        answer = await client.post(UPLOAD, json={"data_urls": [data_url(nearly)]})
        assert answer.status_code == 200

    async def test_an_account_has_an_end(self, client: httpx.AsyncClient, site: Site) -> None:
        tomorrow = clock.now() + timedelta(days=1)
        there = StoredFile("x", "image/png", MAX_UPLOADED_BYTES - 10, "", tomorrow)
        run = site.services.database.run
        await run(assets.add, site.account_id, [there], MAX_UPLOADED_BYTES)
        answer = await client.post(UPLOAD, json={"data_urls": [data_url(encoded())]})
        assert_error(answer, 413, "payload_too_large")
        assert list(blobs_of(site).names()) == []

    async def test_a_full_disk_is_a_503(self, site: Site) -> None:
        with open_site(site.services.folder.path.parent / "full", disk_floor_mib=10**9) as full:
            async with client_of(full) as client:
                answer = await client.post(UPLOAD, json={"data_urls": [data_url(encoded())]})
        assert_error(answer, 503, "storage_unavailable")

    async def test_only_so_many_are_read_at_once(
        self, client: httpx.AsyncClient, site: Site
    ) -> None:
        reading: list[None] = []
        may_end = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            reading.append(None)  # the server has begun to read it
            yield b'{"data_urls": ["'
            await may_end.wait()
            yield f'{data_url(encoded())}"]}}'.encode()

        under_way = [
            asyncio.create_task(client.post(UPLOAD, content=body())) for _ in range(MAX_UPLOADS)
        ]
        one = {"data_urls": [data_url(encoded())]}
        async with asyncio.timeout(20):
            while len(reading) < MAX_UPLOADS:
                await asyncio.sleep(0.01)
            refused = await client.post(UPLOAD, json=one)
        assert_error(refused, 429, "rate_limited")
        assert int(refused.headers["retry-after"]) >= 1
        may_end.set()
        assert [each.status_code for each in await asyncio.gather(*under_way)] == [200] * 4
        assert (await client.post(UPLOAD, json=one)).status_code == 200


@pytest.mark.parametrize("wanted", ["webp", "jpg", "png"])
async def test_a_picture_can_be_had_in_every_format(
    client: httpx.AsyncClient, anyone: httpx.AsyncClient, wanted: str
) -> None:
    url, picture = await painted(client)
    answer = await anyone.get(url, params={"format": wanted})
    content_type = {"webp": "image/webp", "jpg": "image/jpeg", "png": "image/png"}[wanted]
    assert answer.headers["content-type"] == content_type
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert "immutable" in answer.headers["cache-control"]
    assert (answer.content == picture) == (wanted == "webp")
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (64, 64)
        assert image.getexif()[ExifTags.Base.Make] == "Photogram"
    known = {"if-none-match": answer.headers["etag"]}
    assert (await anyone.get(url, params={"format": wanted}, headers=known)).status_code == 304
    assert ((await anyone.get(url, headers=known)).status_code == 304) == (wanted == "webp")


async def test_an_upload_has_only_its_own_format(
    client: httpx.AsyncClient, anyone: httpx.AsyncClient
) -> None:
    uploaded = await client.post(UPLOAD, json={"data_urls": [data_url(encoded())]})
    (url,) = uploaded.json()["file_urls"]
    assert (await anyone.get(url, params={"format": "png"})).content == encoded()
    refused = await anyone.get(url, params={"format": "jpg"})
    assert_error(refused, 400, "invalid_request")
    assert refused.json()["details"][0]["field"] == "format"
    assert_error(await anyone.get(url, params={"format": "gif"}), 400, "invalid_request")


async def test_only_so_many_pictures_are_converted_at_once(site: Site) -> None:
    app = create_app(site.services)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://photogram", headers=site.headers
    ) as client:
        url, _ = await painted(client)
        with contextlib.ExitStack() as stack:
            for _ in range(MAX_CONVERSIONS):
                stack.enter_context(app.state.slots.hold("conversions", MAX_CONVERSIONS, whose=""))
            assert_error(await client.get(f"{url}?format=png"), 429, "rate_limited")
            assert (await client.get(url)).status_code == 200
        assert (await client.get(f"{url}?format=png")).status_code == 200
