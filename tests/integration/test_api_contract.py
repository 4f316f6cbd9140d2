"""What holds on every route: keys, errors, their order, headers, methods, other origins."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from photogram.api.app import PUBLIC_PATHS, create_app
from photogram.api.body import MAX_BODY_BYTES
from photogram.api.middleware import EXPOSED_HEADERS
from photogram.engine.fake import FakeEngine
from tests.unit.api.serving import PROMPT, Site, assert_error, client_of, open_site

URL = "/v1/flux-dev"
ROUTES = [
    ("POST", "/v1/flux-dev"),
    ("POST", "/v1/flux-dev/estimate"),
    ("POST", "/v1/fake"),
    ("POST", "/v1/fake/estimate"),
    ("GET", "/v1/get-user-credits"),
    ("GET", "/v1/pricing"),
    ("POST", "/v2/flux-dev"),
    ("POST", "/v2/fake"),
    ("GET", "/v2/requests/x"),
    ("GET", "/v2/requests/x/status"),
    ("GET", "/v2/requests/x/events"),
    ("POST", "/v2/requests/x/cancel"),
    ("GET", "/v1/requests/x"),
    ("GET", "/v1/files/x"),
    ("POST", "/upload-asset"),
    ("GET", "/inference-request/generations"),
    ("GET", "/inference-request/recent-generations"),
    ("GET", "/inference-request/request-history"),
    ("GET", "/inference-request/request-history/x"),
    ("POST", "/v1/images/generations"),
    ("POST", "/v1/images/edits"),
    ("POST", "/v1/images/variations"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/fake"),
    ("GET", "/api/auth/authenticate"),
    ("GET", "/inference-model-information/list"),
    ("GET", "/v1/keys"),
    ("POST", "/v1/keys"),
    ("DELETE", "/v1/keys/x"),
    ("POST", "/v1/keys/x/rotate"),
    ("GET", "/v1/session"),
    ("POST", "/v1/session"),
    ("DELETE", "/v1/session"),
    ("GET", "/v1/usage"),
    ("GET", "/webhook/get"),
    ("POST", "/webhook/add"),
    ("POST", "/webhook/update"),
    ("GET", "/webhook/inactive"),
    ("GET", "/webhook/dispatch-logs"),
    ("POST", "/webhook/test"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
]
NAMES = {"model_id": "fake", "key_id": "x", "request_id": "x", "file_name": "x"}
PUBLIC = [path.format(**NAMES) for path in sorted(PUBLIC_PATHS)]
KEYED = [(method, path) for method, path in ROUTES if path not in PUBLIC]
WITH_A_QUERY = {"/webhook/inactive", "/webhook/dispatch-logs"}
OF_SOMETHING = {
    path for _, path in ROUTES if "/requests/x" in path or path.endswith(("files/x", "history/x"))
}
"""Routes of one thing, which is not there."""
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """For tests that neither spend nor break anything."""
    with open_site(tmp_path_factory.mktemp("site") / "data") as opened:
        yield opened


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
async def own_client(own_site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(own_site) as opened:
        yield opened


async def test_the_tests_know_every_route(site: Site) -> None:
    app = create_app(site.services)
    found = {
        (method, route.path)
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
    }
    concrete = {(method, path.format(**NAMES)) for method, path in found}
    assert {route for route in concrete if route[0] != "HEAD"} == set(ROUTES)


@pytest.mark.parametrize(("method", "path"), KEYED)
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_api_key"),
        ({"x-api-key": ""}, "missing_api_key"),
        ({"authorization": "Basic YTpi"}, "missing_api_key"),
        ({"x-api-key": "YOUR_API_KEY"}, "invalid_api_key"),
        ({"x-api-key": "phg_live_\xff"}, "invalid_api_key"),
        ({"authorization": "Bearer nothing"}, "invalid_api_key"),
    ],
)
async def test_every_route_but_the_public_ones_asks_for_a_key(
    site: Site, method: str, path: str, headers: dict[str, str], code: str
) -> None:
    transport = httpx.ASGITransport(create_app(site.services))
    async with httpx.AsyncClient(transport=transport, base_url="http://photogram") as client:
        raw = [(name, value.encode("latin-1")) for name, value in headers.items()]
        answer = await client.request(method, path, headers=raw)
    assert_error(answer, 401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "x-remaining-credits" not in answer.headers


@pytest.mark.parametrize("path", PUBLIC)
async def test_public_routes_need_no_key(site: Site, path: str) -> None:
    transport = httpx.ASGITransport(create_app(site.services))
    async with httpx.AsyncClient(transport=transport, base_url="http://photogram") as client:
        assert (await client.get(path)).status_code == (404 if path in OF_SOMETHING else 200)


async def test_a_bearer_token_is_the_same_as_an_api_key(site: Site) -> None:
    transport = httpx.ASGITransport(create_app(site.services))
    headers = {"authorization": f"Bearer {site.key.token}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://photogram", headers=headers
    ) as client:
        assert (await client.get("/v1/get-user-credits")).json() == {
            "credits": 10.0,
            "free-credits": 0.0,
        }


async def test_a_revoked_key_is_refused(own_client: httpx.AsyncClient, own_site: Site) -> None:
    await asyncio.to_thread(own_site.services.accounts.revoke_key, own_site.key.key_id)
    assert_error(await own_client.post(URL, json=PROMPT), 401, "invalid_api_key")


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/", "/v1/flux-pro", "/v2/flux-pro", "/docs", "/v1/flux-dev%00", "/é", "//v1"],
)
@pytest.mark.parametrize("method", METHODS)
async def test_unknown_paths_are_json(client: httpx.AsyncClient, method: str, path: str) -> None:
    assert_error(await client.request(method, f"http://photogram{path}"), 404, "not_found")


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_trailing_slash_is_never_a_redirect(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    assert_error(await client.request(method, f"{path}/"), 404, "not_found")


@pytest.mark.parametrize(("right", "path"), ROUTES)
@pytest.mark.parametrize("method", METHODS)
async def test_wrong_methods_are_json_and_name_the_right_ones(
    client: httpx.AsyncClient, right: str, path: str, method: str
) -> None:
    if (method, path) in ROUTES:
        return
    answer = await client.request(method, path)
    assert_error(answer, 405, "method_not_allowed")
    assert right in answer.headers["allow"].split(", ")


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_head_is_get_without_a_body(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await client.head(path)
    assert answer.content == b""
    right = 400 if path in WITH_A_QUERY else 404 if path in OF_SOMETHING else 200
    has_get = ("GET", path) in ROUTES
    assert answer.status_code == (right if has_get else 405)
    if has_get:
        assert int(answer.headers["content-length"]) > 0
        assert "HEAD" in (await client.options(path)).headers["allow"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_options_names_the_methods(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.options(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert {method, "OPTIONS"} <= set(answer.headers["allow"].split(", "))


@pytest.mark.parametrize(("method", "path"), KEYED)
async def test_every_answer_to_a_key_tells_the_credits(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await client.request(method, path)
    # 204 has signed nobody out, 403 does not sign in who is no page of the server.
    session = {"POST": 403, "DELETE": 204}.get(method) if path == "/v1/session" else None
    assert answer.status_code in ((session,) if session else (200, 400, 404))
    assert answer.headers["x-remaining-credits"] == "10"


@pytest.mark.parametrize("path", ["/healthz", "/v1/nothing", URL])
async def test_a_sane_request_id_is_echoed(client: httpx.AsyncClient, path: str) -> None:
    mine = {"x-request-id": "trace-1_A"}
    assert (await client.get(path, headers=mine)).headers["x-request-id"] == "trace-1_A"
    for insane in ("a b", "x" * 129, "<script>", ""):
        answer = await client.get(path, headers={"x-request-id": insane})
        assert answer.headers["x-request-id"] != insane
        assert len(answer.headers["x-request-id"]) == 26


ORIGIN = {"origin": "https://app.example"}


class TestOtherOrigins:
    @pytest.mark.parametrize("path", [URL, "/v1/get-user-credits"])
    async def test_a_preflight_needs_no_key(self, site: Site, path: str) -> None:
        transport = httpx.ASGITransport(create_app(site.services))
        asked = "x-api-key,content-type,access-control-allow-origin"
        headers = ORIGIN | {
            "access-control-request-method": "POST",
            "access-control-request-headers": asked,
        }
        async with httpx.AsyncClient(transport=transport, base_url="http://photogram") as client:
            answer = await client.options(path, headers=headers)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "POST" in answer.headers["access-control-allow-methods"]
        allowed = answer.headers["access-control-allow-headers"].split(", ")
        assert {*asked.split(","), "accept", "authorization", "idempotency-key"} <= set(allowed)
        assert "*" in allowed  # as the headers that openai's SDK adds in a browser
        assert "access-control-allow-credentials" not in answer.headers

    @pytest.mark.parametrize(("path", "key"), [(URL, True), (URL, False), ("/nothing", False)])
    async def test_every_answer_can_be_read(
        self, own_client: httpx.AsyncClient, path: str, key: bool
    ) -> None:
        headers = ORIGIN | ({} if key else {"x-api-key": "wrong"})
        answer = await own_client.post(path, json=PROMPT, headers=headers)
        assert answer.headers["access-control-allow-origin"] == "*"
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert exposed == list(EXPOSED_HEADERS)
        ours = {name for name in answer.headers if name.startswith("x-")}
        assert ours - {"x-content-type-options"} <= set(exposed)

    async def test_without_an_origin_there_is_nothing_to_allow(
        self, client: httpx.AsyncClient
    ) -> None:
        answer = await client.get("/healthz")
        assert not [name for name in answer.headers if name.startswith("access-control")]


class TestRate:
    """Requests for pictures of one key in a minute."""

    LIMITED = ("/v1/flux-dev", "/v1/images/generations")

    async def test_by_default_there_is_none_and_nothing_is_said(
        self, own_client: httpx.AsyncClient
    ) -> None:
        for _ in range(70):
            assert (await own_client.post(URL, json={})).status_code == 400
        answer = await own_client.post(URL, json=PROMPT | {"steps": 1})
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("ratelimit")]

    @pytest.mark.parametrize("path", LIMITED)
    async def test_one_too_many_is_told_when_to_come_back(self, tmp_path: Path, path: str) -> None:
        with open_site(tmp_path / "data", requests_per_minute=2) as site:
            async with client_of(site) as client:
                first = await client.post(path, json=PROMPT | {"steps": 1})
                second = await client.post(path, json={})
                refused = await client.post(path, json=PROMPT)
                others = [
                    await client.get("/v1/models"),
                    await client.post(f"{URL}/estimate", json=PROMPT),
                ]
            assert len(site.engine.submitted) == 1
        assert [answer.status_code for answer in (first, second)] == [200, 400]
        for answer, num_left in [(first, 1), (second, 0), (refused, 0)]:
            assert answer.headers["ratelimit-policy"] == '"key";q=2;w=60'
            assert answer.headers["ratelimit"].startswith(f'"key";r={num_left};t=')
        assert_error(refused, 429, "rate_limited")
        wait_s = int(refused.headers["retry-after"])
        assert 1 <= wait_s <= 30
        assert refused.headers["ratelimit"] == f'"key";r=0;t={wait_s}'
        assert refused.headers["x-remaining-credits"]
        assert [answer.status_code for answer in others] == [200, 200]
        assert not [name for name in others[0].headers if name.startswith("ratelimit")]

    async def test_each_key_has_its_own(self, tmp_path: Path) -> None:
        with open_site(tmp_path / "data", requests_per_minute=1) as site:
            other = await asyncio.to_thread(site.services.accounts.create_key, "ann")
            async with client_of(site) as client:
                assert (await client.post(URL, json={})).status_code == 400
                assert (await client.post(URL, json={})).status_code == 429
                headers = {"x-api-key": other.token}
                assert (await client.post(URL, json={}, headers=headers)).status_code == 400

    async def test_it_comes_after_the_key_and_before_concurrency(self, tmp_path: Path) -> None:
        with open_site(tmp_path / "data", requests_per_minute=1, jobs_per_account=0) as site:
            async with client_of(site) as client:
                unknown = await client.post(URL, headers={"x-api-key": "wrong"})
                busy = await client.post(URL, content=TestOrderOfRefusals.TOO_LARGE)
                fast = await client.post(URL, content=TestOrderOfRefusals.TOO_LARGE)
        assert_error(unknown, 401, "invalid_api_key")
        assert_error(busy, 429, "rate_limited")
        assert "under way" in busy.json()["error"]
        assert_error(fast, 429, "rate_limited")
        assert "a minute" in fast.json()["error"]


class TestOrderOfRefusals:
    """Each request is wrong in two ways; the one that comes first is told."""

    TOO_LARGE = b"x" * (MAX_BODY_BYTES + 1)

    async def test_key_before_size(self, client: httpx.AsyncClient) -> None:
        answer = await client.post(URL, content=self.TOO_LARGE, headers={"x-api-key": "wrong"})
        assert_error(answer, 401, "invalid_api_key")

    async def test_key_before_concurrency_before_size(self, tmp_path: Path) -> None:
        engine = FakeEngine(step_s=0.02)
        with open_site(tmp_path / "data", engine, jobs_per_account=1) as site:
            async with client_of(site) as client:
                first = asyncio.create_task(client.post(URL, json=PROMPT))
                while not engine.submitted:
                    await asyncio.sleep(0.01)
                refused = await client.post(URL, content=self.TOO_LARGE)
                unknown = await client.post(URL, headers={"x-api-key": "wrong"})
                estimate = await client.post(f"{URL}/estimate", json=PROMPT)
                assert (await first).status_code == 200
                assert (await client.post(URL, json=PROMPT)).status_code == 200
        assert_error(refused, 429, "rate_limited")
        assert int(refused.headers["retry-after"]) >= 1
        assert_error(unknown, 401, "invalid_api_key")
        assert estimate.status_code == 200

    async def test_size_before_type(self, client: httpx.AsyncClient) -> None:
        headers = {"content-type": "image/png"}
        answer = await client.post(URL, content=self.TOO_LARGE, headers=headers)
        assert_error(answer, 413, "payload_too_large")

    async def test_type_and_validation_before_the_queue_before_credits(
        self, tmp_path: Path
    ) -> None:
        engine = FakeEngine(is_ready=False)
        with open_site(tmp_path / "data", engine, granted="0") as site:
            async with client_of(site) as client:
                headers = {"content-type": "image/png"}
                typed = await client.post(URL, content=b"\x89PNG", headers=headers)
                invalid = await client.post(URL, json={})
                loading = await client.post(URL, json=PROMPT)
                engine.is_ready = True
                poor = await client.post(URL, json=PROMPT)
        assert_error(typed, 415, "unsupported_media_type")
        assert_error(invalid, 400, "invalid_request")
        assert_error(loading, 503, "model_loading")
        assert_error(poor, 406, "insufficient_credits")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("image/png", b"\x89PNG"),
        ("application/xml", b"<prompt/>"),
        ("application/x-www-form-urlencoded", b"prompt=fox"),
        ("text/plain", b"a fox"),
    ],
)
async def test_other_types_are_a_415(
    client: httpx.AsyncClient, content_type: str, body: bytes
) -> None:
    answer = await client.post(URL, content=body, headers={"content-type": content_type})
    assert_error(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(("body", "told"), [(b"", "empty"), (b" ", "empty"), (b"[]", "object")])
async def test_a_body_that_is_no_object_is_told_so_whatever_its_type(
    client: httpx.AsyncClient, body: bytes, told: str
) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}  # as curl -d sends it
    answer = await client.post(URL, content=body, headers=headers)
    assert_error(answer, 400, "invalid_request")
    assert told in answer.json()["error"]


async def test_a_compressed_body_is_a_415(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert_error(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=x", "multipart/form-data; boundary="],
)
async def test_a_broken_form_is_a_400(client: httpx.AsyncClient, content_type: str) -> None:
    answer = await client.post(URL, content=b"--y\r\n", headers={"content-type": content_type})
    assert_error(answer, 400, "invalid_request")


@pytest.mark.parametrize(
    "headers", [{"x-a": "x" * 17_000}, {f"x-{index}": "x" for index in range(101)}]
)
async def test_headers_out_of_measure_are_a_431(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert_error(await client.get("/healthz", headers=headers), 431, "headers_too_large")


async def test_the_largest_body_is_still_read(own_client: httpx.AsyncClient) -> None:
    body = json.dumps(PROMPT).encode()
    answer = await own_client.post(URL, content=body + b" " * (MAX_BODY_BYTES - len(body)))
    assert answer.status_code == 200
