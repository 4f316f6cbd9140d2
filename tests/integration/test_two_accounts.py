"""What belongs to one account is, for another one, not there: on every route that names a thing."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from photogram.api.app import create_app
from tests.unit.api.serving import Site, assert_error, client_of

OWNERLESS = {"/v1/models/{model_id}", "/v1/files/{file_name}"}


@pytest.fixture
async def stranger(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a key of another account that may do everything."""
    key = site.services.accounts.create_key("bob")
    async with client_of(site) as opened:
        opened.headers["x-api-key"] = key.token
        yield opened


async def test_a_thing_of_another_account_is_answered_like_one_that_is_not(
    stranger: httpx.AsyncClient, client: httpx.AsyncClient, site: Site
) -> None:
    painted = await client.post("/v2/flux-dev", json={"prompt": "a secret"})
    assert painted.status_code == 200
    things = {"key_id": site.key.key_id, "request_id": painted.json()["request_id"]}
    num_asked = 0
    for route in iter_route_contexts(create_app(site.services).routes):
        names = re.findall(r"{(\w+)[:}]", route.path or "")
        if not names or route.path in OWNERLESS:
            continue
        assert set(names) <= things.keys(), "make one for this test"
        for method in route.methods or ():
            path = re.sub(r"{(\w+)[^}]*}", lambda found: things[found[1]], route.path or "")
            nothing = re.sub(r"{(\w+)[^}]*}", "01ZZZZZZ", route.path or "")
            foreign = await stranger.request(method, path)
            unknown = await stranger.request(method, nothing)
            assert_error(foreign, 404, "not_found")
            assert foreign.status_code == unknown.status_code
            told = foreign.json()["error"]
            for thing in things.values():
                told = told.replace(thing, "01ZZZZZZ")
            assert told == unknown.json()["error"], (method, path)
            num_asked += 1
    assert num_asked >= 8
    assert (await client.get(f"/v2/requests/{things['request_id']}/status")).status_code == 200
    assert (await client.get("/v1/keys")).json()["keys"][0]["state"] == "valid"


async def test_lists_hold_only_what_is_ones_own(
    stranger: httpx.AsyncClient, client: httpx.AsyncClient, site: Site
) -> None:
    await client.post("/v1/flux-dev", json={"prompt": "a secret"})
    for path in ("/v1/keys", "/v1/usage", "/webhook/get", "/inference-request/generations"):
        answer = await stranger.get(path)
        assert answer.status_code == 200
        assert "ann" not in answer.text
        assert site.key.key_id not in answer.text
