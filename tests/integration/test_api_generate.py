"""`POST /v1/flux-dev` and its answers, row by row of the contract; no socket, a fake engine."""

import asyncio
import base64
import io
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from PIL import Image

from photogram.engine.fake import FakeEngine
from tests.unit.api.serving import PROMPT, Site, client_of, open_site

URL = "/v1/flux-dev"


@pytest.fixture(scope="module")
def untouched_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """For requests that must not change anything."""
    with open_site(tmp_path_factory.mktemp("site") / "data") as opened:
        yield opened


@pytest.mark.parametrize(
    ("output_format", "content_type", "pillow_format", "suffix"),
    [
        (None, "image/webp", "WEBP", "webp"),
        ("webp", "image/webp", "WEBP", "webp"),
        ("jpg", "image/jpeg", "JPEG", "jpg"),
        ("jpeg", "image/jpeg", "JPEG", "jpg"),
        ("png", "image/png", "PNG", "png"),
    ],
)
async def test_one_picture_is_its_bytes(
    client: httpx.AsyncClient,
    output_format: str | None,
    content_type: str,
    pillow_format: str,
    suffix: str,
) -> None:
    answer = await client.post(URL, json=PROMPT | {"output_format": output_format})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert answer.headers["content-disposition"] == f'inline; filename="flux-dev-46588.{suffix}"'
    image = Image.open(io.BytesIO(answer.content))
    assert image.format == pillow_format
    assert image.size == (64, 64)


async def test_headers_of_a_picture(client: httpx.AsyncClient, site: Site) -> None:
    answer = await client.post(URL, json=PROMPT | {"seed": 7, "steps": 3, "guidance": 0})
    headers = answer.headers
    assert headers["x-seed-value"] == "7"
    assert headers["x-steps-executed"] == "3"
    assert headers["x-model"] == "fake"
    assert headers["x-cost"] == "0.00376"
    assert Decimal(headers["x-remaining-credits"]) == 10 - Decimal("0.00376")
    assert Decimal(headers["x-remaining-credits"]).scaleb(6) == site.balance_micro()
    assert json.loads(headers["x-output-metadata"]) == {"width": 64, "height": 64, "format": "webp"}
    for name in ("x-generation-time", "x-queue-time"):
        assert re.fullmatch(r"\d+\.\d{3}", headers[name])
    assert re.fullmatch(r"[0-9A-Z]{26}", headers["x-request-id"])
    assert "x-ignored-parameters" not in headers


async def test_the_defaults_cost_what_the_vendor_charges(client: httpx.AsyncClient) -> None:
    assert (await client.post(URL, json=PROMPT)).headers["x-cost"] == "0.019737"


async def test_a_prompt_that_was_cut_is_told(client: httpx.AsyncClient) -> None:
    short = (await client.post(URL, json=PROMPT)).headers
    assert (short["x-prompt-tokens"], short["x-prompt-truncated"]) == ("4", "false")
    cut = (await client.post(URL, json={"prompt": "fox " * 100})).headers
    assert (cut["x-prompt-tokens"], cut["x-prompt-truncated"]) == ("101", "true")


@pytest.mark.parametrize(
    ("ratio", "size"),
    [("1:1", (64, 64)), ("1", (64, 64)), ("", (64, 64)), ("16:9", (96, 48)), ("9:21", (48, 96))],
)
async def test_the_size_is_the_models(
    client: httpx.AsyncClient, ratio: str, size: tuple[int, int]
) -> None:
    answer = await client.post(URL, json=PROMPT | {"aspect_ratio": ratio})
    assert Image.open(io.BytesIO(answer.content)).size == size


async def test_a_quarter_megapixel_costs_a_quarter(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, json=PROMPT | {"megapixels": 0.25, "guidance": 0})
    assert Image.open(io.BytesIO(answer.content)).size == (32, 32)
    assert answer.headers["x-cost"] == "0.0049"


async def test_the_seed_given_is_the_seed_used(client: httpx.AsyncClient) -> None:
    for seed in (0, 1, 2**53 - 1):
        answer = await client.post(URL, json=PROMPT | {"seed": seed})
        assert answer.headers["x-seed-value"] == str(seed)


async def test_a_drawn_seed_is_told_and_can_be_used_again(client: httpx.AsyncClient) -> None:
    first = await client.post(URL, json=PROMPT | {"seed": -1})
    again = await client.post(URL, json=PROMPT | {"seed": first.headers["x-seed-value"]})
    assert again.content == first.content


async def test_several_pictures_are_json(client: httpx.AsyncClient, site: Site) -> None:
    answer = await client.post(URL, json=PROMPT | {"samples": 3, "seed": 5, "steps": 2})
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert "content-disposition" not in answer.headers
    assert list(body) == [
        *("request_id", "status", "image", "images", "seed", "prompt_tokens", "steps_executed"),
        "metrics",
    ]
    assert body["request_id"] == answer.headers["x-request-id"]
    assert (body["status"], body["seed"], body["steps_executed"]) == ("COMPLETED", 5, 2)
    assert [image["index"] for image in body["images"]] == [0, 1, 2]
    assert [image["seed"] for image in body["images"]] == [5, 6, 7]
    assert body["image"] == body["images"][0]["image"]
    metrics = body["metrics"]
    assert str(metrics["cost"]) == answer.headers["x-cost"]
    assert str(metrics["remaining_credits"]) == answer.headers["x-remaining-credits"]
    assert set(metrics) == {
        *("cost", "remaining_credits", "inference_time", "queue_time", "total_time")
    }


async def test_sample_i_is_the_picture_of_seed_plus_i(client: httpx.AsyncClient) -> None:
    several = (await client.post(URL, json=PROMPT | {"samples": 2, "seed": 5})).json()
    alone = await client.post(URL, json=PROMPT | {"seed": 6})
    assert base64.b64decode(several["images"][1]["image"]) == alone.content
    assert several["images"][1]["content_type"] == alone.headers["content-type"]


async def test_samples_cost_their_number(client: httpx.AsyncClient) -> None:
    cost = Decimal((await client.post(URL, json=PROMPT | {"guidance": 0})).headers["x-cost"])
    several = await client.post(URL, json=PROMPT | {"guidance": 0, "samples": "4"})
    assert Decimal(several.headers["x-cost"]) == 4 * cost


@pytest.mark.parametrize(
    ("accept", "extra", "content_type"),
    [
        ("*/*", {}, "image/webp"),
        ("image/*", {}, "image/webp"),
        ("image/png", {}, "image/webp"),
        ("application/json, text/plain, */*", {}, "image/webp"),
        ("application/json", {}, "application/json"),
        ("*/*", {"base64": True}, "application/json"),
        ("image/*", {"base64": True}, "application/json"),
        ("*/*", {"samples": 2}, "application/json"),
        ("text/csv", {}, "image/webp"),
    ],
)
async def test_accept_chooses_the_envelope_and_never_refuses(
    client: httpx.AsyncClient, accept: str, extra: dict[str, object], content_type: str
) -> None:
    answer = await client.post(URL, json=PROMPT | extra, headers={"accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)


async def test_several_pictures_do_not_fit_into_one(client: httpx.AsyncClient, site: Site) -> None:
    answer = await client.post(URL, json=PROMPT | {"samples": 2}, headers={"accept": "image/*"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "multi_sample_needs_container"
    assert site.engine.submitted == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"prompt": "fox"}'),
        ("application/json; charset=utf-8", b'{"prompt": "fox"}'),
        ("application/vnd.api+json", b'{"prompt": "fox"}'),
        ("application/x-www-form-urlencoded", b'{"prompt": "fox"}'),
        ("text/plain", b' \n{"prompt": "fox"}'),
        ("image/png", b'{"prompt": "fox"}'),
        ("", b'{"prompt": "fox"}'),
        (None, b'{"prompt": "fox"}'),
    ],
)
async def test_json_is_read_under_any_content_type(
    client: httpx.AsyncClient, content_type: str | None, body: bytes
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    assert (await client.post(URL, content=body, headers=headers)).status_code == 200


async def test_a_form_is_read(client: httpx.AsyncClient, site: Site) -> None:
    form = {"prompt": "лиса", "samples": "2", "guidance": "4.5", "base64": "true", "width": "8"}
    answer = await client.post(URL, files={name: (None, text) for name, text in form.items()})
    assert answer.status_code == 200
    assert len(answer.json()["images"]) == 2
    assert answer.headers["x-ignored-parameters"] == "width"
    assert site.engine.submitted[0].prompt == "лиса"
    assert site.engine.submitted[0].guidance == 4.5


@pytest.mark.parametrize("name", ["image", "mask"])
async def test_a_file_is_not_silently_ignored(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.post(URL, data=PROMPT, files={name: ("a.png", b"\x89PNG")})
    assert answer.status_code == 400
    assert answer.json()["details"][0]["field"] == name


async def test_a_file_in_a_number_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, data=PROMPT, files={"steps": ("a.png", b"1")})
    assert answer.status_code == 400
    assert "got a file" in answer.json()["error"]


async def test_ignored_parameters_are_listed(client: httpx.AsyncClient) -> None:
    extra = {"width": 512, "guidance_scale": 7, "a\r\nx-evil: 1": 1}
    answer = await client.post(URL, json=PROMPT | extra)
    assert answer.status_code == 200
    assert answer.headers["x-ignored-parameters"] == ("width, guidance_scale, a%0D%0Ax-evil%3A%201")
    assert "x-evil" not in answer.headers


async def test_strict_handling_refuses_unknown_parameters(
    client: httpx.AsyncClient, site: Site
) -> None:
    prefer = {"prefer": "handling=strict"}
    answer = await client.post(URL, json=PROMPT | {"width": 512}, headers=prefer)
    assert answer.status_code == 400
    assert "width" in answer.json()["error"]
    full = PROMPT | {"prompt_strength": 0.8, "samples": 1, "seed": 46588, "output_quality": 90}
    assert (await client.post(URL, json=full, headers=prefer)).status_code == 200
    assert len(site.engine.submitted) == 1


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"prompt": None}, {"prompt": ""}, {"prompt": 5}, {"prompt": "x" * 10_001}),
        *(PROMPT | {"steps": value} for value in (0, 51, 2.5, True, "x", [], {}, 1e309, "1e309")),
        *(PROMPT | {"guidance": value} for value in (-0.1, 10.1, False, "", float("nan"))),
        *(PROMPT | {"seed": value} for value in (-2, 2**53, 0.5, 10**300)),
        *(PROMPT | {"samples": value} for value in (0, 5, 1.5)),
        *(PROMPT | {"prompt_strength": value} for value in (-0.01, 1.01)),
        *(PROMPT | {"output_quality": value} for value in (-1, 101)),
        *(PROMPT | {"output_format": value} for value in ("gif", "avif", "", 7)),
        *(PROMPT | {"aspect_ratio": value} for value in ("16x9", "2:1", 2, [])),
        *(PROMPT | {"megapixels": value} for value in (4, "2")),
        *(PROMPT | {"base64": value} for value in (1, "yes")),
        *(PROMPT | {name: "x"} for name in ("image", "mask")),
        PROMPT | {"loras": [{"name": "x"}]},
    ],
    ids=lambda body: json.dumps(body)[:60],
)
async def test_wrong_input_is_refused_and_costs_nothing(
    untouched_site: Site, body: dict[str, object]
) -> None:
    async with client_of(untouched_site) as client:
        answer = await client.post(URL, content=json.dumps(body))
    assert answer.status_code == 400
    problem = answer.json()
    assert problem["code"] == "invalid_request"
    (detail,) = problem["details"]
    assert detail["field"] in problem["error"]
    assert detail["message"] == problem["error"]
    assert untouched_site.engine.submitted == []
    assert untouched_site.balance_micro() == 10_000_000


async def test_an_engine_that_fails_is_a_500_and_not_billed(tmp_path: Path) -> None:
    engine = FakeEngine(fail_with="the model failed on this request; it was not billed")
    with open_site(tmp_path / "data", engine) as site:
        async with client_of(site) as client:
            answer = await client.post(URL, json=PROMPT)
        assert (answer.status_code, answer.json()["code"]) == (500, "inference_failed")
        assert "Traceback" not in answer.text
        assert answer.headers["x-remaining-credits"] == "10"
        assert site.balance_micro() == 10_000_000


async def test_a_deadline_that_passes_is_a_504_and_not_billed(tmp_path: Path) -> None:
    with open_site(tmp_path / "data", FakeEngine(step_s=0.2)) as site:
        async with client_of(site) as client:
            answer = await client.post(URL, json=PROMPT, headers={"prefer": "wait=1"})
        assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
        assert answer.headers["x-remaining-credits"] == "10"
        assert site.balance_micro() == 10_000_000


async def test_no_credits_is_a_406_with_balance_and_price(tmp_path: Path) -> None:
    with open_site(tmp_path / "data", granted="0.01") as site:
        async with client_of(site) as client:
            answer = await client.post(URL, json=PROMPT)
        assert (answer.status_code, answer.json()["code"]) == (406, "insufficient_credits")
        for word in ("credits", "0.01", "0.019737"):
            assert word in answer.json()["error"]
        assert answer.headers["x-remaining-credits"] == "0.01"


@pytest.mark.parametrize(
    ("is_ready", "limit", "code"), [(False, 9, "model_loading"), (True, 0, "queue_full")]
)
async def test_a_server_without_room_is_a_503(
    tmp_path: Path, is_ready: bool, limit: int, code: str
) -> None:
    engine = FakeEngine(is_ready=is_ready, queue_limit=limit)
    with open_site(tmp_path / "data", engine) as site:
        async with client_of(site) as client:
            answer = await client.post(URL, json=PROMPT)
        assert (answer.status_code, answer.json()["code"]) == (503, code)
        assert int(answer.headers["retry-after"]) >= 1
        assert site.balance_micro() == 10_000_000


async def test_a_server_that_shuts_down_sends_requests_away_unbilled(tmp_path: Path) -> None:
    engine = FakeEngine(step_s=0.02)
    with open_site(tmp_path / "data", engine) as site:
        async with client_of(site) as client:
            running = asyncio.create_task(client.post(URL, json=PROMPT | {"steps": 50}))
            while not engine.steps_run:
                await asyncio.sleep(0.01)
            engine.drain()
            answers = [await client.post(URL, json=PROMPT)]
            await engine.close()
            answers.append(await running)
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (503, "draining")
            assert int(answer.headers["retry-after"]) >= 1
        assert site.balance_micro() == 10_000_000
