"""The whole product with the embedded checkpoint: from `serve` to a paid picture, and its deaths."""

import base64
import io
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from photogram.bootstrap.store import open_store
from photogram.core.settings import Settings
from tests.acceptance.server import ONE_THREAD, Server, is_alive, run_command, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("data")).start()
    yield server
    server.stop()


def test_the_printed_curl_line_saves_a_picture(server: Server, tmp_path: Path) -> None:
    subprocess.run(server.curl_line, shell=True, check=True, cwd=tmp_path, timeout=60)  # noqa: S602
    with Image.open(tmp_path / "picture.webp") as image:
        assert image.format == "WEBP"
        assert image.size == (256, 256)
        assert "AI generated" in image.getexif()[0x0131]


def test_picture_is_priced_billed_and_the_same_again(server: Server) -> None:
    before = server.balance()
    first, second = (server.generate(seed=7, steps=4, output_format="png") for _ in range(2))
    assert first.status_code == 200
    assert first.content == second.content
    assert first.headers["x-cost"] == "0.004511"  # (0.0016 + 4 * 0.00072) * 1.007
    assert float(before) - float(server.balance()) == pytest.approx(2 * 0.004511)


def test_samples_have_the_pixels_of_their_seeds(server: Server) -> None:
    many = server.generate(samples=2, seed=7, steps=3, output_format="png").json()
    one = server.generate(seed=8, steps=3, output_format="png").content
    assert base64.b64decode(many["images"][1]["image"]) == one


def test_a_picture_begins_from_a_picture(server: Server) -> None:
    first = server.generate(seed=7, steps=4, output_format="png").content
    asked = {"image": base64.b64encode(first).decode(), "steps": 5, "output_format": "png"}
    half = np.zeros((256, 256), np.uint8)
    half[:, 128:] = 255
    mask = io.BytesIO()
    Image.fromarray(half).save(mask, "PNG")
    painted = {
        "same": server.generate(**asked, prompt_strength=0),
        "over": server.generate(**asked, prompt_strength=0.8),
        "half": server.generate(**asked, mask=base64.b64encode(mask.getvalue()).decode()),
    }
    steps = {name: answer.headers["x-steps-executed"] for name, answer in painted.items()}
    assert steps == {"same": "0", "over": "4", "half": "4"}
    assert painted["same"].headers["x-cost"] == "0.001611"  # 0.0016 * 1.007
    before = np.asarray(Image.open(io.BytesIO(first)), float)
    after = {
        name: np.asarray(Image.open(io.BytesIO(answer.content)), float)
        for name, answer in painted.items()
    }
    far = {name: np.abs(pixels - before).mean(axis=(0, 2)) for name, pixels in after.items()}
    assert far["same"].mean() < far["over"].mean()
    assert far["half"][:112].mean() < far["over"][:112].mean()


def test_requests_of_all_shapes_at_once_are_served(server: Server) -> None:
    bodies = [
        {"steps": 4, "aspect_ratio": "16:9"},
        {"steps": 9, "guidance": 0, "output_format": "jpg"},
        {"steps": 2, "samples": 2, "aspect_ratio": "9:21"},
        {"steps": 5, "megapixels": "0.25", "output_format": "png"},
    ]
    alone = [server.generate(**body) for body in bodies]
    together: dict[int, httpx.Response] = {}
    threads = [
        threading.Thread(
            target=lambda i=i, body=body: together.update({i: server.generate(**body)})
        )
        for i, body in enumerate(bodies)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, answer in enumerate(alone):
        assert answer.status_code == together[i].status_code == 200
        if answer.headers["content-type"] != "application/json":
            assert answer.content == together[i].content


def test_api_process_holds_no_torch(server: Server) -> None:
    assert "libtorch" not in Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "libtorch" in Path(f"/proc/{server.worker_pid()}/maps").read_text()


def test_hanging_up_stops_the_job_and_bills_nothing(server: Server) -> None:
    before = server.balance()
    with pytest.raises(httpx.ReadTimeout):
        server.generate(steps=50, samples=4, timeout=0.3)
    # The next picture comes soon, so the engine is free; and the hold is back.
    assert server.generate(steps=1).status_code == 200
    after = float(before) - 0.002337  # (0.0016 + 0.00072) * 1.007
    assert wait_until(lambda: float(server.balance()) == pytest.approx(after))


def test_a_request_outlives_its_worker_with_the_same_pictures_and_price(server: Server) -> None:
    alone = server.generate(steps=50, samples=4)
    before = server.balance()
    worker = server.worker_pid()
    threading.Timer(0.4, os.kill, (worker, signal.SIGKILL)).start()
    answer = server.generate(steps=50, samples=4)
    assert answer.status_code == 200
    pictures = [[image["image"] for image in each.json()["images"]] for each in (alone, answer)]
    assert pictures[0] == pictures[1]
    cost = Decimal(answer.headers["x-cost"])
    assert Decimal(answer.headers["x-remaining-credits"]) == Decimal(before) - cost
    assert server.worker_pid() != worker


def test_server_killed_in_the_middle_of_a_request_owes_nothing(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    before = server.balance()
    worker = server.worker_pid()
    request = threading.Thread(target=_generate_and_lose, args=(server,))
    request.start()
    time.sleep(0.4)
    server.kill()
    request.join()
    assert wait_until(lambda: not is_alive(worker), timeout_s=3)

    again = Server(tmp_path, port=server.port).start()
    again.key = server.key
    assert again.balance() == before
    assert f"keys create --account default --data {tmp_path}" in again.output
    check = run_command("ledger", "check", "--data", str(tmp_path))
    assert check.returncode == 0, check.stdout
    assert again.generate(steps=1).status_code == 200
    assert again.stop() == 0


def test_signal_lets_requests_finish_and_sends_new_ones_away(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    with _Answer(server, steps=50) as running:
        assert wait_until(lambda: server.balance() != "100")
        server.process.send_signal(signal.SIGTERM)
        assert wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503)
        refused = server.generate(steps=1)
        assert (refused.status_code, refused.json()["code"]) == (503, "draining")
        assert int(refused.headers["retry-after"]) >= 1
    assert running.answer.status_code == 200
    assert server.stop() == 0


def test_second_signal_ends_at_once_and_bills_nothing(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    with _Answer(server, steps=50, samples=4) as given_up:
        assert wait_until(lambda: server.balance() != "100")
        server.process.send_signal(signal.SIGINT)
        assert wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        assert time.monotonic() - started < 5
    assert (given_up.answer.status_code, given_up.answer.json()["code"]) == (503, "draining")
    assert given_up.answer.headers["x-remaining-credits"] == "100"
    server.stop()
    check = run_command("ledger", "check", "--data", str(tmp_path))
    assert "0 open holds" in check.stdout


class _Answer(threading.Thread):
    """A request under way; its answer is there after the block."""

    def __init__(self, server: Server, **body: object) -> None:
        super().__init__()
        self.server, self.body = server, body

    def run(self) -> None:
        self.answer = self.server.generate(**self.body)

    def __enter__(self) -> "_Answer":
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.join()


def test_first_key_that_cannot_be_written_ends_the_server(tmp_path: Path) -> None:
    with open_store(Settings(data=tmp_path)) as store:
        store.database.transact(
            lambda connection: connection.exec_driver_sql(
                "CREATE TRIGGER broken BEFORE INSERT ON api_key"
                " BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        )
    result = run_command("serve", "--port", "0", "--data", str(tmp_path), **ONE_THREAD)
    assert result.returncode == 1
    assert "photogram: the database refused" in result.stderr
    assert "Traceback" not in result.stderr


def _generate_and_lose(server: Server) -> None:
    with pytest.raises(httpx.TransportError):
        server.generate(steps=50, samples=4)


def test_keys_and_credits_work_beside_the_running_server(server: Server) -> None:
    data = ("--data", str(server.data))
    created = run_command("keys", "create", "--account", "poor", "--json", *data)
    assert created.returncode == 0, created.stderr
    key = httpx.Response(200, text=created.stdout).json()
    poor = Server(server.data, key=key["token"])
    poor.url = server.url
    refused = poor.generate(steps=1)
    assert refused.status_code == 406
    assert "credits" in refused.json()["error"]
    assert run_command("credits", "grant", "poor", "0.5", *data).returncode == 0
    assert poor.generate(steps=1).status_code == 200
    assert run_command("keys", "revoke", key["key_id"], *data).returncode == 0
    assert poor.generate(steps=1).status_code == 401
    assert run_command("ledger", "check", *data).returncode == 0


def test_a_second_server_is_refused_the_data_folder_and_the_port(server: Server) -> None:
    same_data = run_command("serve", "--port", "0", "--data", str(server.data))
    assert same_data.returncode == 2
    assert str(server.data) in same_data.stderr
    same_port = run_command("serve", "--port", str(server.port), "--data", "/nonexistent/never")
    assert same_port.returncode == 2
    assert str(server.port) in same_port.stderr
    assert "Traceback" not in same_data.stderr + same_port.stderr


def test_picture_from_the_command_line_is_the_server_s(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "apple.png"
    words = ("generate", "a red apple", "-o", str(file), "--steps", "3", "--seed", "5")
    painted = run_command(*words, **ONE_THREAD)  # the last bits follow the number of threads
    assert painted.returncode == 0, painted.stderr
    served = server.generate(steps=3, seed=5, output_format="png")
    with Image.open(file) as ours, Image.open(io.BytesIO(served.content)) as theirs:
        assert ours.tobytes() == theirs.tobytes()
