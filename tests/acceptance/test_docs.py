"""The commands of the documentation, run as a reader types them: in order, against one server.

A folder is made to look like the installed code; what stands for the reader's own (the address, the
key, a folder of the system) is put in, some pictures lie there, and nothing else is changed.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.acceptance.server import ONE_THREAD, wait_until
from tests.browser import CHROMIUM, NO_BROWSER, serious_problems
from tests.pages import ROOT, Block, blocks

if TYPE_CHECKING:
    from playwright.sync_api import Page

TIMEOUT_S = 240
"""Of each command, and of the start."""
_MADE = re.compile(r"[\w-]+\.(?:webp|png)\b")


@dataclass
class Reader:
    """Somebody in front of the folder of the code."""

    folder: Path
    admin_port: int
    env: dict[str, str]
    words: dict[str, str] = field(default_factory=dict)
    server: "subprocess.Popen[bytes] | None" = None
    url: str = ""

    def run(self, block: Block) -> None:
        code = block.code
        for shown, own in self.words.items():
            code = code.replace(shown, own)
        if code.strip() == "make serve":
            self.serve()
            return
        commands = {
            "sh": ["bash", "-euo", "pipefail", "-c", code],
            "python": [sys.executable, "-c", code],
            "js": ["node", "--input-type=module", "-e", code],
        }
        done = subprocess.run(
            commands[block.language],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        for name in _MADE.findall(code):
            if (self.folder / name).exists():
                with Image.open(self.folder / name) as picture:
                    picture.verify()

    def serve(self) -> None:
        if self.server is not None:  # it runs already, as in every page but the first
            return
        output = self.folder / "serve.txt"
        with output.open("wb") as file:
            self.server = subprocess.Popen(
                [str(shutil.which("make")), "serve"],
                cwd=self.folder,
                env=self.env | {"PORT": "0", "PHOTOGRAM_ADMIN_PORT": str(self.admin_port)},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        assert wait_until(lambda: "Try it:\ncurl" in output.read_text(), TIMEOUT_S), (
            output.read_text()
        )
        url = re.search(r"at (http://\S+)", output.read_text())
        key = re.search(r"phg_live_\w+", output.read_text())
        assert url is not None
        assert key is not None
        self.url = url[1]
        self.words |= {
            "http://127.0.0.1:8000": self.url,
            "http://127.0.0.1:8001": f"http://127.0.0.1:{self.admin_port}",
            "phg_live_…": key[0],
            "/var/lib/photogram": str(self.folder / "var"),
        }
        self.env["KEY"] = key[0]

    def leave(self) -> None:
        if self.server is not None:
            self.server.terminate()
            self.server.wait(40)  # make ends by the signal, after what it has started


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("photogram")
    (folder / "models").symlink_to(ROOT / "models")
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copyfile(ROOT / name, folder / name)  # older than what says that it is installed
    installed = folder / ".venv" / "bin"
    installed.mkdir(parents=True)
    for name, words in (("photogram", "-m photogram"), ("python", "")):
        command = installed / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        command.chmod(0o755)
    (folder / ".venv" / ".installed").touch()
    Image.new("RGB", (256, 256), "skyblue").save(folder / "photo.jpg")
    Image.new("RGB", (256, 256), "skyblue").save(folder / "photo.png")
    Image.new("RGBA", (256, 256)).save(folder / "hole.png")
    # An answer that is an error ends a command of ours, though not a reader's.
    (folder / ".curlrc").write_text("fail\nsilent\nshow-error\nmax-time = 60\n")
    inherited = {name: text for name, text in os.environ.items() if "PHOTOGRAM" not in name}
    env = inherited | ONE_THREAD | {"CURL_HOME": str(folder)}
    reader = Reader(folder, _free_port(), env)
    yield reader
    reader.leave()


@pytest.mark.parametrize("block", list(blocks()), ids=lambda block: block.place)
def test_a_block_of_code_does_what_it_says(
    block: Block, reader: Reader, request: pytest.FixtureRequest
) -> None:
    if block.untested:
        pytest.skip(block.untested)
    for program in {"sh": ("curl", "make"), "js": ("node",)}.get(block.language, ()):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if '"axios"' in block.code and not (reader.folder / "node_modules").exists():
        (reader.folder / "node_modules").symlink_to(request.getfixturevalue("axios"))
    reader.run(block)


@pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)
def test_the_pages_of_the_guide_can_be_read_by_everybody(
    page: "Page", reader: Reader, axe: str
) -> None:
    reader.serve()
    for colours, chapter in (("light", "/quick-start"), ("dark", "/api")):
        page.emulate_media(color_scheme=colours)
        page.goto(f"{reader.url}/docs/guide{chapter}")
        assert serious_problems(page, axe) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.get_by_text("Contents").click()
    page.get_by_role("link", name="Limits and prices").first.click()
    assert page.get_by_role("heading", level=1).inner_text() == "Limits and prices"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
