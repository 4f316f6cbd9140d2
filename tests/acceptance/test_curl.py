"""curl as people type it: a key, a body, and no word of what the body is."""

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.unit.api.serving import Site

CURL = shutil.which("curl")
BODY = '{"prompt": "a red fox", "steps": 2}'

pytestmark = pytest.mark.skipif(CURL is None, reason="curl is not installed")


def curl(*arguments: str) -> bytes:
    command = [str(CURL), "--silent", "--show-error", "--max-time", "30", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def test_a_picture(url: str, site: Site) -> None:
    key = f"x-api-key: {site.key.token}"
    picture = curl(f"{url}/v1/flux-dev", "-H", key, "-d", BODY)
    assert picture.startswith(b"RIFF")
    assert picture[8:12] == b"WEBP"


def test_a_picture_from_a_picture(url: str, site: Site, tmp_path: Path) -> None:
    key = f"x-api-key: {site.key.token}"
    photo = tmp_path / "photo.jpg"
    Image.new("RGB", (400, 300)).save(photo)
    form = ("-F", "prompt=a red fox", "-F", "prompt_strength=0.6", "-F", f"image=@{photo}")
    picture = curl(f"{url}/v1/flux-dev", "-H", key, *form)
    assert Image.open(io.BytesIO(picture)).size == (64, 48)
    (job,) = site.engine.submitted
    assert job.source is not None
    assert job.source.first_step == 10


def test_a_job(url: str, site: Site) -> None:
    key = f"x-api-key: {site.key.token}"
    submitted = json.loads(curl(f"{url}/v2/flux-dev", "-H", key, "-d", BODY))
    events = curl("--no-buffer", f"{submitted['response_url']}/events", "-H", key).decode()
    assert "event: completed" in events
    done: Any = json.loads(curl(submitted["response_url"], "-H", key))
    assert curl(done["output"])[8:12] == b"WEBP"


def test_a_retry(url: str, site: Site) -> None:
    key, name = f"x-api-key: {site.key.token}", "Idempotency-Key: 1"
    asked = (f"{url}/v1/flux-dev", "-H", key, "-H", name, "-d", BODY)
    assert curl(*asked) == curl(*asked)
    assert len(site.engine.submitted) == 1
