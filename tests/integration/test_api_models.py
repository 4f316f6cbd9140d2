"""Several models behind one API, over fake engines."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from photogram.api.app import create_app
from photogram.core.errors import ConfigurationError
from photogram.engine.fake import FAKE_MODEL, FakeEngine
from photogram.engine.pool import EnginePool
from photogram.engine.rotation import Room
from photogram.engine.slot import PooledModel
from photogram.generation.catalogue import Catalogue
from photogram.ledger.pricing import PriceTable
from tests.unit.api.serving import PROMPT, Site, assert_error, client_of, open_site
from tests.unit.generation.catalogues import FAST_MODEL, USUAL_PRICES, catalogue_of

CHEAP = PriceTable(
    USUAL_PRICES.per_image / 2, USUAL_PRICES.per_step / 2, USUAL_PRICES.guidance_rate
)
MODELS = (FAKE_MODEL, FAST_MODEL)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The fake model, and a fast one at half its prices, of which one is loaded at a time."""
    pooled = [PooledModel(model, 1, partial(FakeEngine, model=model)) for model in MODELS]
    pool = EnginePool(pooled, Room(num_models=1), queue_limit=8)
    catalogue = Catalogue([(FAKE_MODEL, USUAL_PRICES), (FAST_MODEL, CHEAP)])
    with open_site(tmp_path / "data", FakeEngine(), catalogue=catalogue, pool=pool) as opened:
        yield opened


@pytest.fixture
async def client(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(site) as opened:
        await site.services.engine.start()
        yield opened
        await site.services.engine.close()


@pytest.mark.parametrize(
    ("name", "slug", "steps"),
    [
        ("flux-dev", "fake", 25),
        ("fake", "fake", 25),
        ("fast", "fast", 4),
        ("flux-schnell", "fast", 4),
    ],
)
async def test_each_name_paints_with_its_model_and_its_defaults(
    client: httpx.AsyncClient, name: str, slug: str, steps: int
) -> None:
    painted = await client.post(f"/v1/{name}", json=PROMPT)
    assert painted.status_code == 200
    assert painted.headers["x-model"] == slug
    assert painted.headers["x-steps-executed"] == str(steps)
    called = "flux-dev" if slug == "fake" else "fast"
    assert f'filename="{called}-46588.webp"' in painted.headers["content-disposition"]


async def test_a_model_without_guidance_ignores_it_and_has_limits_of_its_own(
    client: httpx.AsyncClient,
) -> None:
    plain = await client.post("/v1/fast", json=PROMPT)
    guided = await client.post("/v1/fast", json=PROMPT | {"guidance": 10})
    assert guided.headers["x-ignored-parameters"] == "guidance"
    assert guided.headers["x-cost"] == plain.headers["x-cost"]
    assert guided.content == plain.content
    refused = await client.post("/v1/fast", json=PROMPT | {"steps": 13})
    assert_error(refused, 400, "invalid_request")
    assert refused.json()["details"][0]["max"] == 12
    strict = {"prefer": "handling=strict"}
    assert_error(
        await client.post("/v1/fast", json=PROMPT | {"guidance": 1}, headers=strict),
        400,
        "invalid_request",
    )


async def test_prices_and_estimates_are_the_models_own(client: httpx.AsyncClient) -> None:
    pricing = (await client.get("/v1/pricing")).json()
    assert set(pricing["models"]) == {"flux-dev", "fast"}
    assert pricing["models"]["fast"]["per_step"] == pricing["per_step"] / 2
    for name, table in pricing["models"].items():
        estimate = (await client.post(f"/v1/{name}/estimate", json=PROMPT)).json()
        assert estimate["cost"] == table["default_request"]
        painted = await client.post(f"/v1/{name}", json=PROMPT)
        assert float(painted.headers["x-cost"]) == table["default_request"]


async def test_models_are_described(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/flux-dev", json=PROMPT)).status_code == 200
    told = {each["id"]: each for each in (await client.get("/v1/models")).json()["data"]}
    assert list(told) == ["fake", "fast"]
    assert told["fake"]["names"] == ["flux-dev", "fake"]
    assert told["fast"]["names"] == ["fast", "flux-schnell"]
    assert (told["fake"]["state"], told["fast"]["state"]) == ("loaded", "waiting")
    assert (told["fast"]["default_steps"], told["fast"]["max_steps"]) == (4, 12)
    assert told["fast"]["prices"]["per_image"] == told["fake"]["prices"]["per_image"] / 2
    assert (await client.get("/v1/models/flux-schnell")).json() == told["fast"]
    listed = (await client.get("/inference-model-information/list")).json()
    (rows,) = listed.values()
    assert [row["slug"] for row in rows] == ["flux-dev", "fast"]
    assert "guidance" not in rows[1]["parameters"]["properties"]


@pytest.mark.parametrize("path", ["/v1/sdxl", "/v2/sdxl", "/v1/sdxl/estimate"])
async def test_an_unknown_name_is_told_which_there_are(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.post(path, json=PROMPT)
    assert_error(answer, 404, "not_found")
    assert "flux-dev, fake, fast, flux-schnell" in answer.json()["error"]


async def test_openais_clients_choose_by_name(client: httpx.AsyncClient) -> None:
    path = "/v1/images/generations"
    painted = await client.post(path, json=PROMPT | {"model": "flux-schnell"})
    assert (painted.headers["x-model"], painted.headers["x-steps-executed"]) == ("fast", "4")
    assert_error(
        await client.post(path, json=PROMPT | {"model": "dall-e-3"}), 404, "model_not_found"
    )


async def test_jobs_and_history_know_the_model(client: httpx.AsyncClient) -> None:
    submitted = (await client.post("/v2/flux-schnell", json=PROMPT)).json()
    status: dict[str, Any] = {}
    while status.get("status") != "COMPLETED":
        status = (await client.get(submitted["status_url"])).json()
        assert status["status"] != "FAILED", status
    await client.post("/v1/fake", json=PROMPT)
    listed = "/inference-request/request-history"
    rows = (await client.get(listed)).json()["requests"]
    assert [row["model_name"] for row in rows] == ["flux-dev", "fast"]
    for wanted, names in (
        ("flux", ["flux-dev"]),
        ("FA", ["flux-dev", "fast"]),
        ("x", ["flux-dev"]),
    ):
        rows = (await client.get(listed, params={"model_name": wanted})).json()["requests"]
        assert [row["model_name"] for row in rows] == names


def test_the_document_describes_each_model_once(site: Site) -> None:
    document = create_app(site.services).openapi()
    painting = [path for path in document["paths"] if path.startswith(("/v1/f", "/v2/f"))]
    assert sorted(set(painting) - {"/v1/files/{file_name}"}) == [
        *("/v1/fast", "/v1/fast/estimate", "/v1/flux-dev", "/v1/flux-dev/estimate"),
        *("/v2/fast", "/v2/flux-dev"),
    ]
    body = document["paths"]["/v1/fast"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["properties"]["steps"]["maximum"] == 12
    assert "guidance" not in body["schema"]["properties"]


@pytest.mark.parametrize("slug", ["models", "images", "requests"])
def test_a_model_cannot_take_a_path_of_the_api(site: Site, slug: str) -> None:
    named = msgspec.structs.replace(FAST_MODEL, slug=slug)
    generation = site.services.generation
    generation.catalogue = catalogue_of(FAKE_MODEL, named)
    with pytest.raises(ConfigurationError, match=slug):
        create_app(replace(site.services, generation=generation))
