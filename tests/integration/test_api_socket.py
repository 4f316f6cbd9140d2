"""What only a real socket shows: slow and lying clients, hang-ups, broken HTTP, `curl`."""

import contextlib
import json
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import structlog

from photogram.engine.fake import FakeEngine
from tests.unit.api.serving import PROMPT, HastyProtocol, Site, open_site, serve

URL = "/v1/flux-dev"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path / "data", FakeEngine(step_s=0.02)) as opened:
        yield opened


@contextlib.contextmanager
def connect(url: str) -> Iterator[socket.socket]:
    host, _, port = urlsplit(url).netloc.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        yield connection


def head(site: Site, *lines: str) -> bytes:
    key = f"x-api-key: {site.key.token}"
    return "\r\n".join([f"POST {URL} HTTP/1.1", "host: x", key, *lines, "", ""]).encode()


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def wait_until(is_true: object, timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_picture_arrives(url: str, site: Site) -> None:
    answer = httpx.post(f"{url}{URL}", json=PROMPT | {"steps": 1}, headers=site.headers)
    assert answer.status_code == 200
    assert answer.content[:4] == b"RIFF"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_without_a_content_type(url: str, site: Site, tmp_path: Path) -> None:
    picture = tmp_path / "fox.webp"
    command = ["curl", "-sS", f"{url}{URL}", "-H", f"x-api-key: {site.key.token}"]
    command += ["-d", '{"prompt": "a fox", "steps": 1}', "-o", str(picture)]
    command += ["-w", "%{http_code} %{content_type}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "200 image/webp"
    assert picture.read_bytes()[:4] == b"RIFF"


def test_a_chunked_body_without_a_length_is_limited(url: str, site: Site) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(330):
            yield b" " * 65536

    answer = httpx.post(f"{url}{URL}", content=chunks(), headers=site.headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


def test_a_length_beyond_all_measure_is_refused_at_once(url: str, site: Site) -> None:
    with connect(url) as connection:
        connection.sendall(head(site, "content-length: 99999999999"))
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"payload_too_large"' in answer


def test_a_body_that_never_ends_is_given_up(site: Site) -> None:
    with serve(site, body_timeout_s=0.5) as url, connect(url) as connection:
        connection.sendall(head(site, "content-length: 100") + b'{"prompt": ')
        started = time.monotonic()
        answer = read_all(connection)
    assert time.monotonic() - started < 5
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer
    assert b"x-remaining-credits: 10\r\n" in answer


@pytest.mark.parametrize("sent", [b"", b"POST /v1/flux-dev HTTP/1.1\r\nhost:", b"\r\n"])
def test_headers_that_never_come_are_given_up(site: Site, sent: bytes) -> None:
    with serve(site, protocol=HastyProtocol) as url, connect(url) as connection:
        connection.sendall(sent)
        started = time.monotonic()
        assert read_all(connection) == b""
    assert time.monotonic() - started < 5


def test_headers_that_never_end_are_refused(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nx-a: " + b"a" * 100_000)
        assert read_all(connection).startswith(b"HTTP/1.1 431 ")


def test_answers_that_nobody_reads_are_given_up(site: Site) -> None:
    num_requests = 1000  # their answers are more than the kernel's buffers take
    received = b""
    with serve(site, protocol=HastyProtocol) as url, connect(url) as connection:
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * num_requests)
        time.sleep(2)
        with contextlib.suppress(ConnectionError):
            received = read_all(connection)
    assert received.count(b"HTTP/1.1 200") < num_requests


def test_what_is_no_http_is_answered_in_json(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\r\n\r\n")
        answer_head, _, answer_body = read_all(connection).partition(b"\r\n\r\n")
    assert answer_head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer_body)["code"] == "invalid_request"


def test_a_connection_serves_many_requests(url: str, site: Site) -> None:
    with httpx.Client(base_url=url, headers=site.headers) as client:
        for path, status in [("/healthz", 200), ("/nothing", 404), (URL, 405), ("/readyz", 200)]:
            assert client.get(path).status_code == status
        assert client.head("/healthz").content == b""
        assert client.post(URL, json={}).status_code == 400
        assert client.post(URL, json=PROMPT | {"steps": 1}).status_code == 200


def test_a_kept_connection_does_not_wait_for_acknowledgements(url: str) -> None:
    durations_s = []
    with httpx.Client(base_url=url) as client:
        for _ in range(40):
            started = time.perf_counter()
            client.get("/healthz")
            durations_s.append(time.perf_counter() - started)
    # Nagle's algorithm against delayed acknowledgements makes nearly all of them 40 ms.
    assert statistics.median(durations_s) < 0.03


class TestHangUp:
    def send(self, site: Site, url: str, steps: int, samples: int = 1) -> socket.socket:
        host, _, port = urlsplit(url).netloc.partition(":")
        wish = json.dumps(PROMPT | {"steps": steps, "samples": samples}).encode()
        connection = socket.create_connection((host, int(port)))
        connection.sendall(head(site, f"content-length: {len(wish)}") + wish)
        return connection

    def assert_whole(self, site: Site) -> None:
        wait_until(lambda: site.engine.num_jobs == 0)
        wait_until(lambda: site.balance_micro() == 10_000_000)
        assert site.services.ledger.check().is_ok

    def test_while_running_it_stops_within_a_step_and_is_not_billed(
        self, url: str, site: Site
    ) -> None:
        with structlog.testing.capture_logs() as events:
            connection = self.send(site, url, steps=50)
            wait_until(lambda: any(site.engine.steps_run.values()))
            connection.close()
            self.assert_whole(site)
            wait_until(lambda: events)
        assert max(site.engine.steps_run.values()) < 25
        assert [event["status"] for event in events if event["event"] == "request"] == [499]

    def test_before_the_body_is_complete_it_costs_nothing(self, url: str, site: Site) -> None:
        with connect(url) as connection:
            connection.sendall(head(site, "content-length: 100") + b'{"prompt": "fox"')
            time.sleep(0.1)
        self.assert_whole(site)
        assert site.engine.submitted == []

    def test_the_place_of_the_account_is_free_again(self, tmp_path: Path) -> None:
        engine = FakeEngine(step_s=0.02)
        with open_site(tmp_path / "other", engine, jobs_per_account=1) as site, serve(site) as url:
            connection = self.send(site, url, steps=50)
            wait_until(lambda: engine.submitted)
            connection.close()
            self.assert_whole(site)
            wish = PROMPT | {"steps": 1}
            answer = httpx.post(f"{url}{URL}", json=wish, headers=site.headers)
            assert answer.status_code == 200

    def test_a_client_that_stays_is_not_harmed_by_one_that_leaves(
        self, url: str, site: Site
    ) -> None:
        leaving = self.send(site, url, steps=50)
        wait_until(lambda: site.engine.submitted)
        staying = self.send(site, url, steps=5)
        leaving.close()
        assert staying.recv(12) == b"HTTP/1.1 200"
        staying.close()
