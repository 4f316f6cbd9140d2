"""Pictures that pictures begin from: how they come, what becomes of them, and what they cost."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from photogram.api.app import create_app
from photogram.core.messages import GenerateJob
from photogram.engine.fake import FakeEngine
from photogram.generation.retention import Retention
from photogram.storage.blobs import BlobFolder
from tests.unit.api.serving import PROMPT, Site, assert_error, client_of, open_site
from tests.unit.webhooks.sink import answer, open_sink

V1, V2, ESTIMATE, UPLOAD = "/v1/flux-dev", "/v2/flux-dev", "/v1/flux-dev/estimate", "/upload-asset"
EDITS = "/v1/images/edits"
WAYS: dict[str, Callable[[bytes], dict[str, object]]] = {
    "a data URL": lambda data: {"json": PROMPT | {"image": data_url(data)}},
    "base64": lambda data: {"json": PROMPT | {"image": base64.b64encode(data).decode()}},
    "base64 in lines": lambda data: {"json": PROMPT | {"image": base64.encodebytes(data).decode()}},
    "a file of a form": lambda data: {"data": PROMPT, "files": {"image": ("x.exe", data)}},
    "a field of a form": lambda data: {"data": PROMPT | {"image": data_url(data)}, "files": EMPTY},
}
EMPTY = {"mask": ("", b"")}


def encoded(
    size: tuple[int, int] = (64, 64), colour: object = "red", mode: str = "RGB", kind: str = "PNG"
) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, kind)  # type: ignore[arg-type]
    return buffer.getvalue()


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def begun_from(job: GenerateJob, field: str = "image") -> Image.Image:
    """What the engine was given."""
    assert job.source is not None
    image = Image.open(io.BytesIO(getattr(job.source, field)))
    assert image.format == "PNG"
    assert image.size == (job.width, job.height)
    return image


def files_of(site: Site) -> set[str]:
    blobs = BlobFolder(site.services.folder.path / "results")
    return {name for name, _ in blobs.names()}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("path", [V1, V2])
async def test_a_picture_comes_in_every_way(
    client: httpx.AsyncClient, site: Site, way: str, path: str
) -> None:
    got = await client.post(path, **WAYS[way](encoded((128, 96))))  # type: ignore[arg-type]
    assert got.status_code == 200
    await site.services.generation.close()
    (job,) = site.engine.submitted
    image = begun_from(job)
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (64, 48), (255, 0, 0))
    assert job.source is not None
    assert (job.source.mask, job.num_steps, job.source.first_step) == (None, 25, 5)


async def test_an_upload_is_named_by_its_address_or_its_name(
    client: httpx.AsyncClient, site: Site
) -> None:
    uploaded = await client.post(UPLOAD, json={"data_urls": [data_url(encoded(colour="blue"))]})
    url = uploaded.json()["file_urls"][0]
    for place in (url, url.rpartition("/")[2]):
        assert (await client.post(V1, json=PROMPT | {"image": place})).status_code == 200
        assert begun_from(site.engine.submitted[-1]).getpixel((0, 0)) == (0, 0, 255)


async def test_a_picture_may_begin_from_an_earlier_one(
    client: httpx.AsyncClient, site: Site
) -> None:
    await client.post(V1, json=PROMPT, headers={"x-request-id": "first"})
    url = (await client.get("/v1/requests/first")).json()["output"]
    assert (await client.post(V1, json=PROMPT | {"image": url})).status_code == 200
    begun_from(site.engine.submitted[-1])


async def test_anothers_files_are_not_to_be_had(site: Site, client: httpx.AsyncClient) -> None:
    uploaded = await client.post(UPLOAD, json={"data_urls": [data_url(encoded())]})
    await client.post(V1, json=PROMPT, headers={"x-request-id": "first"})
    painted = (await client.get("/v1/requests/first")).json()["output"]
    accounts = site.services.accounts
    bob = {"x-api-key": accounts.create_key("bob").token}
    for url in (uploaded.json()["file_urls"][0], painted):
        refused = await client.post(V1, json=PROMPT | {"image": url}, headers=bob)
        assert_error(refused, 400, "invalid_request")
        assert refused.json()["details"][0]["field"] == "image"
        assert "no file of this account" in refused.json()["error"]


@pytest.mark.parametrize(
    ("fields", "size", "first_step"),
    [
        ({}, (64, 64), 5),
        ({"prompt_strength": 1}, (64, 64), 0),
        ({"prompt_strength": 0}, (64, 64), 25),
        ({"prompt_strength": 0.5, "steps": 3}, (64, 64), 1),
        ({"megapixels": "0.25"}, (32, 32), 5),
    ],
)
async def test_strength_leaves_out_steps_and_the_others_are_billed(
    client: httpx.AsyncClient,
    site: Site,
    fields: dict[str, object],
    size: tuple[int, int],
    first_step: int,
) -> None:
    asked = PROMPT | {"image": data_url(encoded((500, 500)))} | fields
    steps = int(str(fields.get("steps", 25))) - first_step
    cost = (Decimal("0.0016") + steps * Decimal("0.00072")) * Decimal("1.007")
    cost *= Decimal("0.25") if "megapixels" in fields else 1
    estimate = (await client.post(ESTIMATE, json=asked)).json()
    assert (estimate["steps_executed"], estimate["width"], estimate["height"]) == (steps, *size)
    assert estimate["cost"] == pytest.approx(float(cost), abs=1e-6)
    painted = await client.post(V1, json=asked)
    assert painted.headers["x-cost"] == format(Decimal(str(estimate["cost"])), "f")
    assert painted.headers["x-steps-executed"] == str(steps)
    (job,) = site.engine.submitted
    assert job.source is not None
    assert (job.width, job.height, job.source.first_step) == (*size, first_step)
    assert site.balance_micro() == 10_000_000 - round(estimate["cost"] * 10**6)
    assert site.services.ledger.check().violations == ()
    row = (await client.get("/inference-request/request-history")).json()["requests"][0]
    assert row["credits_deduction"] == estimate["cost"]
    assert row["parameters"]["prompt_strength"] == fields.get("prompt_strength", 0.8)


async def test_a_mask_follows_its_image(client: httpx.AsyncClient, site: Site) -> None:
    image, mask = encoded((128, 96), (9, 9, 9)), encoded((128, 96), 200, "L", "WEBP")
    files = {"image": ("a.png", image), "mask": ("b.webp", mask)}
    assert (await client.post(V1, data=PROMPT, files=files)).status_code == 200
    found = begun_from(site.engine.submitted[0], "mask")
    assert (found.mode, found.size, found.getpixel((5, 5))) == ("L", (64, 48), 200)


async def test_the_shape_of_an_image_wins_and_that_is_said(
    client: httpx.AsyncClient, site: Site
) -> None:
    asked = PROMPT | {"image": data_url(encoded((60, 60))), "aspect_ratio": "16:9", "samples": 2}
    painted = await client.post(V1, json=asked)
    assert painted.headers["x-ignored-parameters"] == "aspect_ratio"
    assert (site.engine.submitted[0].width, site.engine.submitted[0].height) == (64, 64)
    strict = await client.post(V1, json=asked, headers={"prefer": "handling=strict"})
    assert strict.json()["details"][0]["field"] == "aspect_ratio"


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"image": "photo.png"}, "image", "must be a file, a data URL, base64"),
        ({"image": "data:image/png,AA=="}, "image", "must be a data URL in base64"),
        ({"image": "data:image/png;base64,A"}, "image", "is no base64"),
        ({"image": data_url(b"GIF89a")}, "image", "must be a PNG, JPEG or WebP"),
        ({"image": data_url(encoded()[:60])}, "image", "broken"),
        ({"image": data_url(encoded((8193, 3000)))}, "image", "8192"),
        ({"image": data_url(encoded((100, 20)))}, "image", "at most 4 times"),
        ({"image": "https://example.com/x.png"}, "image", "this server fetches none"),
        ({"image": "0" * 32 + ".png"}, "image", "no file of this account"),
        ({"image": 5}, "image", "must be a picture"),
        ({"image": ["x"]}, "image", "must be a picture"),
        ({"mask": data_url(encoded())}, "mask", "needs an image"),
        (
            {"image": data_url(encoded()), "mask": data_url(encoded((64, 48), 0, "LA"))},
            "mask",
            "must have the size of the image, 64x64, and is 64x48",
        ),
        ({"image": data_url(encoded()), "mask": data_url(b"x")}, "mask", "must be a PNG"),
        ({"image": data_url(encoded()), "mask": "x y z"}, "mask", "must be a file"),
    ],
)
@pytest.mark.parametrize("path", [V1, EDITS])
async def test_what_cannot_be_used_is_named(
    client: httpx.AsyncClient,
    site: Site,
    path: str,
    fields: dict[str, object],
    field: str,
    words: str,
) -> None:
    refused = await client.post(path, json=PROMPT | fields)
    assert_error(refused, 400, "invalid_request")
    body = refused.json()
    if path == EDITS and "image" not in fields:
        assert body["error"]["message"].startswith("image is missing")
    else:
        message = body["error"]["message"] if path == EDITS else body["error"]
        assert message.startswith(f"{field} ")
        assert words in message
    assert site.balance_micro() == 10_000_000
    assert files_of(site) == set()


async def test_all_wrong_fields_are_told_before_a_picture_is_opened(
    client: httpx.AsyncClient,
) -> None:
    refused = await client.post(V1, json={"image": "nonsense", "mask": 7, "steps": 0})
    fields = [each["field"] for each in refused.json()["details"]]
    assert fields == ["prompt", "steps", "mask"]


@pytest.mark.parametrize("nothing", ["", None])
async def test_an_empty_picture_is_none(
    client: httpx.AsyncClient, site: Site, nothing: object
) -> None:
    body = PROMPT | {"image": nothing, "mask": nothing}
    assert (await client.post(V1, json=body)).status_code == 200
    form = {"image": ("", b"", "application/octet-stream")}
    assert (await client.post(V1, data=PROMPT, files=form)).status_code == 200
    assert [job.source for job in site.engine.submitted] == [None, None]


class TestLargeBodies:
    async def test_an_image_may_be_large_and_nothing_else(self, client: httpx.AsyncClient) -> None:
        large = encoded() + b"\0" * (3 * 2**20)
        assert (await client.post(V1, json=PROMPT | {"image": data_url(large)})).status_code == 200
        form = {"image": ("x", large)}
        assert (await client.post(V1, data=PROMPT, files=form)).status_code == 200
        assert (await client.post(EDITS, data=PROMPT, files=form)).status_code == 200
        for fields in ({"width": data_url(large)}, {"mask": data_url(large)}):
            refused = await client.post(V1, json=PROMPT | fields)
            assert refused.status_code in (400, 413)
        assert_error(
            await client.post(V1, json=PROMPT | {"width": "x" * 2**20}), 413, "payload_too_large"
        )

    async def test_twenty_mebibytes_are_the_most(self, client: httpx.AsyncClient) -> None:
        body = PROMPT | {"image": data_url(encoded() + b"\0" * (15 * 2**20))}
        refused = await client.post(V1, json=body)
        assert_error(refused, 413, "payload_too_large")
        assert str(20 * 2**20) in refused.json()["error"]

    async def test_many_small_values_are_no_picture(self, client: httpx.AsyncClient) -> None:
        body = b'{"image": [' + b"1," * 2**20 + b"1]}"
        assert_error(await client.post(V1, content=body), 400, "invalid_request")

    async def test_some_are_read_at_once_and_the_others_after_them(
        self, client: httpx.AsyncClient, site: Site
    ) -> None:
        begun: list[None] = []
        may_end = asyncio.Event()
        text = data_url(encoded() + b"\0" * 2**20)

        async def body() -> AsyncIterator[bytes]:
            yield b'{"prompt": "a red fox", "steps": 1, "image": "' + text.encode()
            begun.append(None)  # more than a small body's has been taken
            await may_end.wait()
            yield b'"}'

        under_way = [asyncio.create_task(client.post(V1, content=body())) for _ in range(6)]
        async with asyncio.timeout(20):
            while len(begun) < 4:
                await asyncio.sleep(0.01)
            small = await client.post(V1, json=PROMPT | {"image": data_url(encoded()), "steps": 1})
        assert small.status_code == 200
        assert len(begun) == 4
        may_end.set()
        assert [each.status_code for each in await asyncio.gather(*under_way)] == [200] * 6


class TestDurableJobs:
    @pytest.mark.parametrize("masked", [False, True])
    async def test_what_it_begins_from_is_kept_until_its_end(
        self, tmp_path: Path, masked: bool
    ) -> None:
        engine = FakeEngine(step_s=0.2)
        fields = {"image": data_url(encoded()), "steps": 5}
        if masked:
            fields["mask"] = data_url(encoded(mode="L", colour=255))
        with open_site(tmp_path / "data", engine) as site:
            sweep = Retention(site.services.database, BlobFolder(tmp_path / "data/results")).sweep
            async with client_of(site) as client:
                assert (await client.post(V2, json=PROMPT | fields)).status_code == 200
                kept = files_of(site)
                assert len(kept) == 1 + masked
                await asyncio.to_thread(sweep)
                assert files_of(site) == kept
                for name in kept:
                    assert_error(await client.get(f"/v1/files/{name}"), 404, "not_found")
            await asyncio.to_thread(sweep)
            assert len(files_of(site)) == 1
            assert kept.isdisjoint(files_of(site))

    async def test_one_whose_client_waits_is_kept_nowhere(self, tmp_path: Path) -> None:
        engine = FakeEngine(step_s=0.2)
        with open_site(tmp_path / "data", engine) as site:
            async with client_of(site) as client:
                body = PROMPT | {"image": data_url(encoded()), "steps": 2}
                waiting = asyncio.create_task(client.post(V1, json=body))
                while not engine.submitted:
                    await asyncio.sleep(0.01)
                assert files_of(site) == set()
                assert (await waiting).status_code == 200

    async def test_what_is_refused_leaves_no_file(self, tmp_path: Path) -> None:
        with open_site(tmp_path / "data", granted="0.000001") as site:
            async with client_of(site) as client:
                refused = await client.post(V2, json=PROMPT | {"image": data_url(encoded())})
                assert_error(refused, 406, "insufficient_credits")
            assert files_of(site) == set()


class TestTheSameAgain:
    @pytest.mark.parametrize("path", [V1, V2, EDITS])
    async def test_it_is_answered_again_and_another_picture_is_a_conflict(
        self, client: httpx.AsyncClient, site: Site, path: str
    ) -> None:
        async def ask(data: bytes) -> httpx.Response:
            files = {"image": ("x.png", data)}
            key = {"idempotency-key": "k"}
            return await client.post(path, data=PROMPT | {"seed": -1}, files=files, headers=key)

        first = await ask(encoded((128, 96)))
        await site.services.generation.close()
        again = await ask(encoded((128, 96)))
        assert again.content == first.content
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["x-output-metadata"] == first.headers["x-output-metadata"]
        assert_error(await ask(encoded((128, 97))), 409, "idempotency_conflict")
        assert len(site.engine.submitted) == 1


class TestUrls:
    @pytest.fixture
    async def curious(self, tmp_path: Path) -> AsyncIterator[tuple[Site, httpx.AsyncClient]]:
        with open_site(tmp_path / "curious", image_urls="any") as site:
            async with client_of(site) as client:
                yield site, client

    async def test_one_is_fetched_where_that_is_allowed(
        self, curious: tuple[Site, httpx.AsyncClient]
    ) -> None:
        site, client = curious
        picture = answer(200, body=encoded(colour="lime"))
        async with open_sink(picture) as sink:
            asked = PROMPT | {"image": sink.url, "mask": sink.url}
            assert (await client.post(V1, json=asked)).status_code == 200
        assert begun_from(site.engine.submitted[0]).getpixel((0, 0)) == (0, 255, 0)

    @pytest.mark.parametrize(
        ("reply", "words"),
        [
            (answer(404), "was answered with the status 404"),
            (answer(200, body=b"<html>"), "must be a PNG, JPEG or WebP"),
            (b"nonsense", "not in HTTP"),
        ],
    )
    async def test_one_without_a_picture_is_a_400(
        self, curious: tuple[Site, httpx.AsyncClient], reply: bytes, words: str
    ) -> None:
        _, client = curious
        async with open_sink(reply) as sink:
            refused = await client.post(V1, json=PROMPT | {"image": sink.url})
        assert_error(refused, 400, "invalid_request")
        assert words in refused.json()["error"]

    @pytest.mark.parametrize(
        "url",
        ["http://example.com/x.png", "https://127.0.0.1/x.png", "https://[::1]/", "https://u:p@h/"],
    )
    async def test_no_one_reaches_inside_where_only_public_ones_are_allowed(
        self, tmp_path: Path, url: str
    ) -> None:
        with open_site(tmp_path / "public", image_urls="public") as site:
            async with client_of(site) as client:
                refused = await client.post(V1, json=PROMPT | {"image": url})
        assert_error(refused, 400, "invalid_request")
        assert refused.json()["error"].startswith("image must ")


class TestEdits:
    async def test_an_explicit_size_crops_and_auto_follows(
        self, client: httpx.AsyncClient, site: Site
    ) -> None:
        pixels = np.zeros((60, 120, 3), dtype=np.uint8)
        pixels[:, 30:90] = 255
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        for size, expected in (
            ({"size": "64x64"}, "64x64"),
            ({}, "80x48"),
            ({"size": "auto"}, "80x48"),
        ):
            files = {"image": ("x.png", buffer.getvalue())}
            answer = await client.post(EDITS, data=PROMPT | size, files=files)
            assert answer.json()["size"] == expected
        images = [np.asarray(begun_from(job)) for job in site.engine.submitted]
        assert images[0][:, 4:-4].min() == 255
        assert images[1][:, 4:-4].min() == 0

    async def test_two_images_are_one_too_many(self, client: httpx.AsyncClient) -> None:
        files = [("image[]", ("a.png", encoded())), ("image[]", ("b.png", encoded()))]
        refused = await client.post(EDITS, data=PROMPT, files=files)
        assert_error(refused, 400, "invalid_request")
        assert "'image[]'" in refused.json()["error"]["message"]


async def test_an_app_without_a_key_reads_no_picture(site: Site) -> None:
    transport = httpx.ASGITransport(create_app(site.services))
    async with httpx.AsyncClient(transport=transport, base_url="http://photogram") as anyone:
        files = {"image": ("x", encoded())}
        assert_error(await anyone.post(EDITS, data=PROMPT, files=files), 401, "missing_api_key")
