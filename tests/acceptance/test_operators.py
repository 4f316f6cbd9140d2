"""The operators' listener of a real server: its own port, its own keys, and an end with the server's."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.server import Server, run_command


def _admin_url(server: Server) -> str:
    lines = [json.loads(line) for line in server.errors.read_text().splitlines() if line[:1] == "{"]
    (told,) = [line for line in lines if line["event"] == "the operators' API listens"]
    return f"http://{told['host']}:{told['port']}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with an operators' listener."""
    started = Server(tmp_path, env={"PHOTOGRAM_ADMIN_PORT": "0"}).start()
    yield started
    if started.process.poll() is None:
        started.kill()


def test_it_serves_beside_the_customers_and_ends_with_them(server: Server, tmp_path: Path) -> None:
    url = _admin_url(server)
    words = ("admin-keys", "create", "--name", "eve", "--json", "--data", str(tmp_path))
    token = json.loads(run_command(*words).stdout)["token"]
    with httpx.Client(headers={"x-api-key": token}) as operator:
        grant = {"account": "default", "credits": 1, "reference": "r"}
        assert operator.post(f"{url}/admin/grants", json=grant).json()["credits"] == 101.0
        assert server.balance() == "101"
        assert operator.get(f"{url}/admin/ledger/check").json()["is_ok"]
        assert operator.get(f"{server.url}/admin/keys").status_code == 404
        assert operator.get(f"{server.url}/v1/keys").status_code == 401
        customer = {"x-api-key": server.key}
        assert operator.get(f"{url}/admin/keys", headers=customer).status_code == 401
        assert server.stop() == 0
        with pytest.raises(httpx.ConnectError):
            operator.get(f"{url}/admin/keys")
    assert token.rsplit("_", 1)[1] not in server.errors.read_text()
    assert server.key.rsplit("_", 1)[1] not in server.errors.read_text()


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ("serve", "--port", "0", "--data", str(tmp_path))
        refused = run_command(*words, PHOTOGRAM_ADMIN_PORT=port)
    assert refused.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in refused.stderr
