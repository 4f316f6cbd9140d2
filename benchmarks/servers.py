"""Starts and stops the servers that are measured: Photogram's own command, and the peer's.

Each runs in fresh processes with all the machine, takes requests when `running` yields, and is gone
when it ends. What differs between their HTTP interfaces is in their `Site`.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from benchmarks.points import OURS
from benchmarks.quiet import descendants
from benchmarks.traffic import Request
from photogram.core.messages import ModelInfo
from photogram.weights.locate import inspect

PEER = "diffusers server"
DEFAULT_ACCOUNT = "default"
TRICKLE_ACCOUNT = "trickle"

_START_TIMEOUT_S = 400.0  # compiling takes most of it
_STOP_TIMEOUT_S = 40.0
_POLL_S = 0.05
_PLENTY = "1000000"
_KIB_PER_MIB = 1024


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What both servers are given.

    Attributes:
        threads: CPU threads; 0 for one on each core.
        is_compiled: The peer compiles its networks before it takes requests.
        cache: Where compiled code is kept from one start to the next.
    """

    model: Path
    threads: int
    is_compiled: bool
    cache: Path


class Site(Protocol):
    """A server that runs, as its clients and its operator see it."""

    name: str
    url: str
    path: str
    pid: int

    def body(self, request: Request) -> dict[str, object]:
        """The JSON of a request."""

    def headers(self, account: str) -> dict[str, str]:
        """What says who asks."""


class PhotogramSite:
    """`photogram serve`."""

    name = OURS
    path = "/v1/flux-dev"

    def __init__(self, url: str, pid: int, tokens: Mapping[str, str]) -> None:
        self.url = url
        self.pid = pid
        self._tokens = tokens

    def body(self, request: Request) -> dict[str, object]:
        return {
            "prompt": request.prompt,
            "aspect_ratio": request.aspect_ratio,
            "megapixels": request.megapixels,
            "steps": request.steps,
            "guidance": request.guidance,
            "seed": request.seed,
        }

    def headers(self, account: str) -> dict[str, str]:
        return {"x-api-key": self._tokens[account]}


class PeerSite:
    """`benchmarks.peer_server`, which knows pixels and no accounts."""

    name = PEER
    path = "/generate"

    def __init__(self, url: str, pid: int, model: ModelInfo) -> None:
        self.url = url
        self.pid = pid
        self._model = model

    def body(self, request: Request) -> dict[str, object]:
        width, height = self._model.size(request.aspect_ratio, request.megapixels)
        return {
            "prompt": request.prompt,
            "width": width,
            "height": height,
            "steps": request.steps,
            "guidance": request.guidance,
            "seed": request.seed,
        }

    def headers(self, account: str) -> dict[str, str]:  # noqa: ARG002 it serves whoever asks
        return {}


@contextlib.contextmanager
def running(name: str, setup: Setup) -> Iterator[Site]:
    """Start a server, wait until it takes requests, and stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="photogram-bench-") as folder:
        start = _photogram if name == OURS else _peer
        with start(setup, Path(folder)) as site:
            yield site


@contextlib.contextmanager
def _photogram(setup: Setup, folder: Path) -> Iterator[Site]:
    data = folder / "data"
    command = ["photogram", "serve", "--port", "0", "--data", str(data)]
    command += ["--model", str(setup.model)]
    env = {"PHOTOGRAM_FIRST_CREDITS": _PLENTY, "PHOTOGRAM_THREADS": str(setup.threads)}
    with _process(command, env, folder / "output") as process:
        output = _wait_for(r"-o picture\.webp", process, folder / "output")
        tokens = {DEFAULT_ACCOUNT: _found(r"phg_live_\w+", output)}
        tokens[TRICKLE_ACCOUNT] = _make_account(TRICKLE_ACCOUNT, data)
        yield PhotogramSite(_found(r"http://[\d.:]+", output), process.pid, tokens)


@contextlib.contextmanager
def _peer(setup: Setup, folder: Path) -> Iterator[Site]:
    command = ["benchmarks.peer_server", str(setup.model), "--threads", str(setup.threads)]
    command += ["--compile"] if setup.is_compiled else []
    env = {"TORCHINDUCTOR_CACHE_DIR": str(setup.cache / "inductor")}
    with _process(command, env, folder / "output") as process:
        output = _wait_for("takes requests", process, folder / "output")
        url = _found(r"http://[\d.:]+", output)
        yield PeerSite(url, process.pid, inspect(setup.model).model)


@contextlib.contextmanager
def _process(
    module: list[str], env: Mapping[str, str], output: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 our own commands
            [sys.executable, "-m", *module],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | env,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(words: str, process: subprocess.Popen[bytes], output: Path) -> str:
    """All that was printed, once the words are among it."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        text = output.read_text(errors="replace")
        if re.search(words, text):
            return text
        time.sleep(_POLL_S)
    raise RuntimeError(f"the server did not start:\n{output.read_text(errors='replace')}")


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"no {pattern} in what the server printed:\n{text}")
    return match[0]


def _make_account(name: str, data: Path) -> str:
    """A key of a new account with plenty of credits."""
    created = _command("keys", "create", "--account", name, "--json", "--data", str(data))
    _command("credits", "grant", name, _PLENTY, "--data", str(data))
    token: str = json.loads(created)["token"]
    return token


def _command(*words: str) -> str:
    done = subprocess.run(  # noqa: S603 our own command
        [sys.executable, "-m", "photogram", *words], capture_output=True, text=True, check=True
    )
    return done.stdout


def memory_mib(pid: int) -> float:
    """Resident memory of a server and its workers: the sum of what is in RAM for each.

    Pages that several processes share count in each of them, as they do in most tools.
    """
    total_kib = 0
    for member in [pid, *descendants(pid)]:
        try:
            status = Path(f"/proc/{member}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended since it was listed
        resident = re.search(r"VmRSS:\s+(\d+) kB", status)
        total_kib += int(resident[1]) if resident else 0
    return total_kib / _KIB_PER_MIB
