"""One server with several real checkpoints, of which one is loaded at a time."""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.acceptance.server import Server, is_alive
from tests.acceptance.test_segmind import client_at
from tests.tiny import write_checkpoint

FILE = """
[[model]]
path = "dev"

[[model]]
path = "quick"
slug = "fast"
price_per_step = 0.0001

[[model]]
path = "torn"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A [dev], a [schnell], and one whose weights end too soon, with a file that lists them."""
    folder = tmp_path_factory.mktemp("models")
    write_checkpoint(folder / "dev", seed=1)
    write_checkpoint(folder / "quick", seed=2, guidance_embeds=False, dynamic_shift=False)
    shutil.copytree(folder / "dev", folder / "torn")
    (folder / "models.toml").write_text(FILE)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    env = {"PHOTOGRAM_MODELS": str(folder / "models.toml"), "PHOTOGRAM_MODELS_LOADED": "1"}
    server = Server(tmp_path_factory.mktemp("data"), env=env).start()
    # It is whole when the server looks at it, and not when it is loaded.
    index = next((folder / "torn" / "transformer").glob("*.safetensors"))
    index.write_bytes(index.read_bytes()[:-64])
    yield server
    server.stop()


def paint(server: Server, name: str, **body: object) -> httpx.Response:
    return httpx.post(
        f"{server.url}/v1/{name}",
        json={"prompt": "a red cat", "output_format": "png"} | body,
        headers={"x-api-key": server.key},
        timeout=120,
    )


def states(server: Server) -> dict[str, str]:
    listed = httpx.get(f"{server.url}/v1/models", headers={"x-api-key": server.key}).json()
    return {each["id"]: each["state"] for each in listed["data"]}


def test_each_request_is_painted_by_its_model_which_is_loaded_for_it(server: Server) -> None:
    assert states(server) == {"dev": "loaded", "fast": "waiting", "torn": "waiting"}
    first = paint(server, "flux-dev", steps=2)
    worker = server.worker_pid()
    other = paint(server, "flux-schnell")
    assert not is_alive(worker)
    assert states(server) == {"dev": "waiting", "fast": "loaded", "torn": "waiting"}
    sdk = client_at(server.url, server.key)
    assert sdk.run_sync("flux-schnell", prompt="a red cat").headers["x-model"] == "fast"
    sdk._client.close()
    again = paint(server, "dev", steps=2)
    assert [each.headers["x-model"] for each in (first, other, again)] == ["dev", "fast", "dev"]
    assert other.headers["x-steps-executed"] == "4"
    assert other.headers["x-cost"] == "0.002"  # 0.0016 + 4 * 0.0001
    assert again.content == first.content != other.content
    with Image.open(io.BytesIO(other.content)) as image:
        assert "fast" in json.dumps({str(key): str(value) for key, value in image.info.items()})


def test_a_model_that_cannot_be_loaded_leaves_the_others_serving(server: Server) -> None:
    failed = paint(server, "torn")
    assert (failed.status_code, failed.json()["code"]) == (503, "model_unavailable")
    assert str(server.data) not in failed.text
    assert states(server)["torn"] == "failed"
    assert paint(server, "torn").headers["retry-after"]
    assert paint(server, "flux-dev", steps=1).status_code == 200
    assert "model_not_loaded" in server.errors.read_text()
