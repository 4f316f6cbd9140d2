"""The service's own sample, run by node with axios: only host, key and prompt are ours."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.unit.api.serving import Site, serve

SAMPLE = Path(__file__).with_name("seed_sample.js")

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def run_sample(axios: Path, url: str, key: str, prompt: str, file: Path) -> Any:
    command = ["node", str(SAMPLE), f"{url}/v1/flux-dev", key, prompt, str(file)]
    environment = {"NODE_PATH": str(axios), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    return json.loads(result.stdout)


def test_the_sample_saves_a_picture(axios: Path, site: Site, tmp_path: Path) -> None:
    file = tmp_path / "picture.webp"
    with serve(site) as url:
        result = run_sample(axios, url, site.key.token, "a red fox", file)
    assert result["status"] == 200
    assert result["headers"]["content-type"] == "image/webp"
    assert result["headers"]["x-remaining-credits"] == "9.980263"
    with Image.open(file) as picture:
        assert picture.format == "WEBP"


def test_the_samples_errors_say_what_is_wrong(axios: Path, site: Site, tmp_path: Path) -> None:
    with serve(site) as url:
        no_key = run_sample(axios, url, "wrong", "a red fox", tmp_path / "none")
        no_prompt = run_sample(axios, url, site.key.token, "", tmp_path / "none")
    assert no_key["status"] == 401
    assert "key" in no_key["error"]
    assert no_prompt["status"] == 400
    assert "prompt" in no_prompt["error"]
