"""Adapters over HTTP: chosen by name, as the operator's folder has them now."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from photogram.core.messages import Adapter
from tests.unit.api.serving import PROMPT, Site, assert_error, client_of, open_site

INK = {"loras": [{"name": "ink", "scale": 0.5}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "loras"
    folder.mkdir()
    (folder / "ink.safetensors").touch()
    return folder


@pytest.fixture
def offering(tmp_path: Path, folder: Path) -> Iterator[Site]:
    with open_site(tmp_path / "data", loras=folder) as site:
        yield site


@pytest.mark.parametrize("path", ["/v1/flux-dev", "/v2/flux-dev"])
async def test_the_engine_is_told_which_at_the_usual_price(offering: Site, path: str) -> None:
    async with client_of(offering) as client:
        plain = await client.post("/v1/flux-dev/estimate", json=PROMPT)
        priced = await client.post("/v1/flux-dev/estimate", json=PROMPT | INK)
        answer = await client.post(path, json=PROMPT | INK)
    assert priced.json()["cost"] == plain.json()["cost"]
    assert answer.status_code == 200
    (job,) = offering.engine.submitted
    assert job.adapters == (Adapter("ink", 0.5),)


async def test_a_form_has_them_as_json_and_the_file_names_them(offering: Site) -> None:
    fields = {"prompt": (None, "a fox"), "loras": (None, json.dumps(INK["loras"]))}
    async with client_of(offering) as client:
        answer = await client.post("/v1/flux-dev", files=fields)
    assert answer.headers["x-model"] == "fake"
    with Image.open(io.BytesIO(answer.content)) as picture:
        description = picture.getexif()[ExifTags.Base.ImageDescription]
    assert json.loads(description)["loras"] == [{"name": "ink", "scale": 0.5}]


async def test_names_come_and_go_with_the_files(offering: Site, folder: Path) -> None:
    clay = {"loras": [{"name": "clay"}]}
    async with client_of(offering) as client:
        refused = await client.post("/v1/flux-dev", json=PROMPT | clay)
        assert_error(refused, 400, "invalid_request")
        assert refused.json()["error"].endswith('names "clay", which is not here; there are: ink')
        assert refused.json()["details"][0]["allowed"] == ["ink"]
        (folder / "ink.safetensors").rename(folder / "clay.safetensors")
        assert (await client.post("/v1/flux-dev", json=PROMPT | clay)).status_code == 200
        for path in ("/v1/models", "/v1/models/flux-dev"):
            model = (await client.get(path)).json()
            assert model.get("data", [model])[0]["loras"] == ["clay"]


async def test_without_a_folder_there_are_none(site: Site) -> None:
    async with client_of(site) as client:
        assert (await client.get("/v1/models")).json()["data"][0]["loras"] == []
        refused = await client.post("/v1/flux-dev", json=PROMPT | INK)
        assert refused.json()["error"].endswith("there are: none")
        assert (await client.post("/v1/flux-dev", json=PROMPT | {"loras": []})).status_code == 200
    assert [job.adapters for job in site.engine.submitted] == [()]
