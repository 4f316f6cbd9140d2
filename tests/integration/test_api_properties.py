"""Whatever is sent, the answer is one of the contract's and never a failure of ours."""

import asyncio
import json
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from photogram.api.attributes import ATTRIBUTES
from photogram.api.openai_request import OPENAI_ATTRIBUTES
from tests.unit.api.events import parse_events
from tests.unit.api.serving import Site, client_of, open_site

NAMES = [*(attribute.name for attribute in ATTRIBUTES), "image", "mask", "width"]
ENDS = [end for each in ATTRIBUTES for end in (each.minimum, each.maximum) if end is not None]
CONTENT_TYPES = (
    *("image/", "application/json", "application/zip", "multipart/mixed", "text/event-stream"),
)
WORDS = [word for each in ATTRIBUTES for word in (*each.choices, *each.synonyms)]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from(ENDS),
    st.sampled_from(ENDS).map(str),
    st.sampled_from(WORDS),
    st.sampled_from(["\ud800", "\x00", "1e309", "9" * 400]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.one_of(st.sampled_from(NAMES), st.text())
bodies = st.one_of(
    st.dictionaries(names, values, max_size=8),
    st.dictionaries(names, values, max_size=4).map(lambda body: body | {"prompt": "fox"}),
    values,
)
openai_names = st.sampled_from([attribute.name for attribute in OPENAI_ATTRIBUTES])
openai_bodies = st.one_of(
    st.dictionaries(openai_names, values, max_size=8),
    st.dictionaries(
        st.sampled_from(["n", "size", "stream", "quality", "seed", "user"]),
        st.sampled_from([1, "2", "64x64", True, False, "hd", "auto", "low", -1]),
        max_size=3,
    ).map(lambda body: body | {"prompt": "fox"}),
    values,
)
accepts = st.sampled_from(
    [
        *("*/*", "image/*", "application/json", "application/zip", "multipart/mixed"),
        *("text/event-stream", ";q", "a/b"),
    ]
)
prefers = st.sampled_from(["", "handling=strict", "wait=5", "wait=x", ",;="])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site") / "data", granted="1000000") as opened:
        yield opened


def send(
    site: Site, content: bytes, headers: dict[str, str], path: str = "/v1/flux-dev"
) -> httpx.Response:
    async def post() -> httpx.Response:
        async with client_of(site) as client:
            return await client.post(path, content=content, headers=headers)

    return asyncio.run(post())


def check(answer: httpx.Response) -> None:
    assert answer.status_code in (200, 400, 415)
    assert answer.headers["x-remaining-credits"]
    assert all(value.isprintable() and value.isascii() for value in answer.headers.values())
    if answer.status_code != 200:
        body = answer.json()
        assert set(body) == {"error", "code", "request_id", "details"}
        assert len(body["error"]) < 5000
    else:
        assert answer.headers["content-type"].startswith(CONTENT_TYPES)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=bodies, accept=accepts, prefer=prefers)
def test_any_json_is_served_or_refused(site: Site, body: object, accept: str, prefer: str) -> None:
    content = json.dumps(body).encode()
    headers = {"accept": accept, "prefer": prefer}
    answer = send(site, content, headers)
    check(answer)
    if answer.headers["content-type"] == "application/json" and answer.status_code == 200:
        assert answer.json()["status"] == "COMPLETED"
    estimate = send(site, content, headers, "/v1/flux-dev/estimate")
    check(estimate)
    if estimate.status_code == 400:
        assert answer.status_code == 400
    if answer.headers["content-type"].startswith("text/event-stream"):
        assert parse_events(answer.text)[-1][0] == "completed"


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=openai_bodies)
def test_any_json_is_served_or_refused_in_openais_words(site: Site, body: object) -> None:
    answer = send(site, json.dumps(body).encode(), {}, "/v1/images/generations")
    assert answer.status_code in (200, 400, 404)
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["type"] == "invalid_request_error"
    elif answer.headers["content-type"] == "application/json":
        assert answer.json()["data"]
    else:
        assert parse_events(answer.text)[-1][0] == "image_generation.completed"


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    content=st.one_of(
        st.binary(max_size=200), st.text(alphabet='{}[]",:0e-.tn\\u ').map(str.encode)
    ),
    content_type=st.sampled_from(
        ["", "application/json", "text/plain", "multipart/form-data; boundary=a", "image/png"]
    ),
)
def test_any_bytes_are_refused(site: Site, content: bytes, content_type: str) -> None:
    answer = send(site, content, {"content-type": content_type})
    check(answer)
    assert answer.status_code != 200


def test_the_sums_hold_after_all_that(site: Site) -> None:
    assert site.engine.num_jobs == 0
    assert site.services.ledger.check().is_ok
