"""L8, L9: disks that fill up under a server; it says so, owes nothing, and goes on when there is room."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.server import wait_until
from tests.faults.deployment import Deployment, deployed

_MOUNT = shutil.which("mount") or "/bin/false"
_UNMOUNT = shutil.which("umount") or "/bin/false"


@contextlib.contextmanager
def _small_disk(path: Path, size: str) -> Iterator[Path]:
    path.mkdir(parents=True)
    mounting = [_MOUNT, "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(path)]
    mounted = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run([_UNMOUNT, str(path)], check=True)


def _fill(disk: Path) -> Path:
    path = disk / "filling"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return path


def _assert_unavailable(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable"), answer.text


def test_a_full_disk_under_the_database_is_told_and_outlived(tmp_path: Path) -> None:
    with (
        _small_disk(tmp_path / "place" / "data", "8m") as disk,
        deployed(tmp_path / "place", None, step_s=0.2) as deployment,
    ):
        server = deployment.start()
        assert deployment.ask(server.url, 1, key="before").status_code == 200
        left = deployment.ask(server.url, 2, path="/v2/flux-dev", steps=20).json()["request_id"]
        filling = _fill(disk)
        refused = _ask_until_refused(deployment, server.url)
        _assert_unavailable(refused)
        assert int(refused.headers["retry-after"]) >= 1
        assert httpx.get(f"{server.url}/readyz").status_code == 503
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        # What was there can still be read.
        again = deployment.ask(server.url, 1, key="before")
        assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
        time.sleep(5)  # the job ends meanwhile, and cannot be settled
        filling.unlink()
        room_from = time.monotonic()
        assert wait_until(server.is_ready, 10)
        assert deployment.ask_until_answered(lambda: server.url, 3, "after").status_code == 200
        print(f"painted again {time.monotonic() - room_from:.1f} s after there was room")
        ended = deployment.wait_for_job(server.url, left)
        assert ended.status_code == 422 or ended.json()["status"] == "COMPLETED"
        (found,) = deployment.rows("PRAGMA integrity_check")
        assert found.integrity_check == "ok"
        deployment.prove(server, unbilled=("storage_unavailable",))
        deployment.close()


def _ask_until_refused(deployment: Deployment, url: str) -> httpx.Response:
    """The journal's file may have some room that is not the disk's any more."""
    for number in range(300):
        answer = deployment.ask(url, 10 + number)
        if answer.status_code != 200:
            return answer
    raise AssertionError("the disk does not fill up")


def test_a_full_disk_under_the_pictures_costs_nobody_anything(tmp_path: Path) -> None:
    with (
        _small_disk(tmp_path / "place" / "results", "1m") as disk,
        deployed(tmp_path / "place", None) as deployment,
    ):
        server = deployment.start()
        filling = _fill(disk)
        for number in range(3):
            _assert_unavailable(deployment.ask(server.url, number, key=f"full-{number}"))
        assert {path.name for path in disk.iterdir()} == {"filling", "database"}
        filling.unlink()
        for number in range(3):
            answer = deployment.ask_until_answered(lambda: server.url, number, f"full-{number}")
            assert answer.status_code == 200, answer.text
        deployment.prove(server, unbilled=("storage_unavailable",))
        deployment.close()
