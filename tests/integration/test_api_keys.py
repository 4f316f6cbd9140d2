"""Keys over HTTP: their rights on every route, their limits, and what they may do to one another."""

import asyncio
import json
import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from photogram.accounts.models import NewKey, Rights, Scope
from photogram.api.app import PUBLIC_PATHS, _check_rights, create_app
from photogram.core import clock
from photogram.engine.fake import FakeEngine
from tests.unit.api.serving import PROMPT, Site, assert_error, client_of, open_site

URL = "/v1/flux-dev"
NOTHING: frozenset[Scope] = frozenset()


def _key(site: Site, rights: Rights | None = None) -> NewKey:
    return site.services.accounts.create_key("ann", rights=rights)


def _headers(key: NewKey) -> dict[str, str]:
    return {"x-api-key": key.token}


def _only(*scopes: Scope) -> Rights:
    return Rights(scopes=frozenset(scopes))


class TestEveryRoute:
    async def test_denies_by_default(self, site: Site) -> None:
        """Without a key 401, with a key that has no right 403; the public ones are named."""
        app = create_app(site.services)
        keyless = _key(site, Rights(scopes=NOTHING))
        transport = httpx.ASGITransport(app)
        num_asked = 0
        async with httpx.AsyncClient(transport=transport, base_url="http://photogram") as client:
            for method, path in _routes(app):
                if path in PUBLIC_PATHS:
                    continue
                concrete = re.sub(r"{\w+}", "x", path)
                nobody = await client.request(method, concrete, json={})
                assert_error(nobody, 401, "missing_api_key")
                weak = await client.request(method, concrete, json={}, headers=_headers(keyless))
                assert_error(weak, 403, "forbidden")
                assert "scope" in weak.text
                num_asked += 1
        assert num_asked > 15

    async def test_that_states_nothing_is_no_route(self, site: Site) -> None:
        app = create_app(site.services)
        app.add_api_route("/v1/forgotten", endpoint=lambda: None)
        with pytest.raises(RuntimeError, match="/v1/forgotten states no scope"):
            _check_rights(app)

    @pytest.mark.parametrize(
        ("method", "path", "scopes"),
        [
            ("POST", URL, {Scope.GENERATE}),
            ("POST", "/v1/images/generations", {Scope.GENERATE}),
            ("POST", f"{URL}/estimate", {Scope.GENERATE, Scope.READ}),
            ("GET", "/v1/models", {Scope.GENERATE, Scope.READ}),
            ("GET", "/v1/pricing", {Scope.GENERATE, Scope.READ}),
            ("GET", "/v1/get-user-credits", {Scope.READ}),
            ("GET", "/v1/usage", {Scope.READ}),
            ("GET", "/v1/keys", {Scope.KEYS}),
            ("POST", "/v1/keys", {Scope.KEYS}),
            ("GET", "/webhook/get", {Scope.WEBHOOKS}),
        ],
    )
    async def test_takes_its_own_scopes_alone(
        self, client: httpx.AsyncClient, site: Site, method: str, path: str, scopes: set[Scope]
    ) -> None:
        for scope in Scope:
            headers = _headers(_key(site, _only(scope)))
            answer = await client.request(method, path, json=PROMPT, headers=headers)
            assert (answer.status_code == 403) is (scope not in scopes), (scope, answer.text)


def _routes(app: FastAPI) -> list[tuple[str, str]]:
    return [
        (method, route.path)
        for route in iter_route_contexts(app.routes)
        for method in sorted((route.methods or set()) - {"HEAD"})
        if route.path is not None
    ]


async def test_an_expired_key_is_answered_like_an_unknown_one(
    client: httpx.AsyncClient, site: Site
) -> None:
    expired = _key(site, Rights(expires_at=clock.now()))
    answer = await client.get("/v1/keys", headers=_headers(expired))
    unknown = await client.get("/v1/keys", headers={"x-api-key": "phg_live_typo"})
    assert_error(answer, 401, "invalid_api_key")
    assert answer.json()["error"] == unknown.json()["error"]


class TestLimits:
    async def test_a_keys_own_rate_wins_over_the_servers(self, site: Site) -> None:
        slow = _key(site, Rights(requests_per_minute=2))
        async with client_of(site) as client:
            for left in (1, 0):
                answer = await client.post(URL, json=PROMPT, headers=_headers(slow))
                assert answer.status_code == 200
                assert answer.headers["ratelimit"].startswith(f'"key";r={left};')
            refused = await client.post(URL, json=PROMPT, headers=_headers(slow))
            assert_error(refused, 429, "rate_limited")
            assert int(refused.headers["retry-after"]) >= 1
            assert (await client.post(URL, json=PROMPT)).status_code == 200

    async def test_a_new_key_is_no_new_rate(self, site: Site) -> None:
        """Neither by rotation nor by making keys does a limited key get more requests."""
        slow = _key(site, Rights(requests_per_minute=2))
        async with client_of(site) as client:
            asked = _headers(slow)
            for path in (f"/v1/keys/{slow.key_id}/rotate", "/v1/keys"):
                made = await client.post(path, json={}, headers=_headers(slow))
                assert made.status_code == 201, made.text
                asked = {"x-api-key": made.json()["token"]}
                assert (await client.post(URL, json=PROMPT, headers=asked)).status_code == 200
            for headers in (asked, _headers(slow)):
                assert_error(
                    await client.post(URL, json=PROMPT, headers=headers), 429, "rate_limited"
                )

    async def test_a_new_key_is_no_new_share_of_the_servers_rate(self, tmp_path: Path) -> None:
        with open_site(tmp_path / "data", requests_per_minute=4) as site:
            async with client_of(site) as client:
                made = await client.post("/v1/keys", json={})
                tokens = [site.key.token, made.json()["token"]]
                answers = [
                    await client.post(URL, json=PROMPT, headers={"x-api-key": token})
                    for token in tokens * 3
                ]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2

    async def test_a_key_may_have_so_many_requests_under_way(self, tmp_path: Path) -> None:
        with open_site(tmp_path / "data", FakeEngine(step_s=0.05)) as site:
            narrow = _key(site, Rights(jobs_at_once=1))
            async with client_of(site) as client:
                first, second, other = await asyncio.gather(
                    client.post(URL, json=PROMPT, headers=_headers(narrow)),
                    client.post(URL, json=PROMPT, headers=_headers(narrow)),
                    client.post(URL, json=PROMPT),
                )
        assert sorted([first.status_code, second.status_code]) == [200, 429]
        assert other.status_code == 200
        refused = first if first.status_code == 429 else second
        assert "this key already has 1 requests" in refused.json()["error"]

    async def test_a_spend_cap_is_a_406_that_says_so(
        self, client: httpx.AsyncClient, site: Site
    ) -> None:
        capped = _key(site, Rights(spend_cap_micro=30_000))
        assert (await client.post(URL, json=PROMPT, headers=_headers(capped))).status_code == 200
        refused = await client.post(URL, json=PROMPT, headers=_headers(capped))
        assert_error(refused, 406, "insufficient_credits")
        words = refused.json()["error"]
        for part in ("spend cap is 0.03 credits", "0.019737 are spent", "costs 0.019737"):
            assert part in words
        assert (await client.post(URL, json=PROMPT)).status_code == 200


class TestSelfService:
    async def test_a_key_is_made_listed_rotated_and_revoked(
        self, client: httpx.AsyncClient, site: Site
    ) -> None:
        body = {"name": "ci", "scopes": ["read"], "spend_cap": "1.5", "expires_in_s": 60}
        answer = await client.post("/v1/keys", json=body)
        assert answer.status_code == 201
        made = answer.json()
        assert (made["name"], made["scopes"], made["spend_cap"]) == ("ci", ["read"], 1.5)
        assert made["account"] == "ann"
        headers = {"x-api-key": made["token"]}
        assert (await client.get("/v1/get-user-credits", headers=headers)).status_code == 200

        listed = (await client.get("/v1/keys")).json()["keys"]
        assert [key["key_id"] for key in listed] == [site.key.key_id, made["key_id"]]
        assert "token" not in json.dumps(listed)

        rotated = await client.post(f"/v1/keys/{made['key_id']}/rotate")
        assert rotated.status_code == 201
        assert rotated.json()["scopes"] == ["read"]
        gone = await client.delete(f"/v1/keys/{made['key_id']}")
        assert (gone.status_code, gone.json()["state"]) == (200, "revoked")
        assert_error(
            await client.get("/v1/get-user-credits", headers=headers), 401, "invalid_api_key"
        )
        successor = {"x-api-key": rotated.json()["token"]}
        assert (await client.get("/v1/get-user-credits", headers=successor)).status_code == 200

    @pytest.mark.parametrize(
        "body",
        [
            {"scopes": ["generate"]},
            {"requests_per_minute": 61},
            {"jobs_at_once": 5},
            {"spend_cap": 1.000001},
            {"expires_in_s": 7200},
        ],
    )
    async def test_no_key_gives_more_than_it_has(
        self, client: httpx.AsyncClient, site: Site, body: dict[str, object]
    ) -> None:
        rights = Rights(
            scopes=frozenset({Scope.KEYS, Scope.READ}),
            requests_per_minute=60,
            jobs_at_once=4,
            spend_cap_micro=1_000_000,
            expires_at=clock.now() + timedelta(hours=1),
        )
        maker = _key(site, rights)
        refused = await client.post("/v1/keys", json=body, headers=_headers(maker))
        assert_error(refused, 403, "forbidden")
        made = await client.post("/v1/keys", json={}, headers=_headers(maker))
        principal = await site.services.accounts.authenticate(made.json()["token"])
        assert principal.rights == rights

    async def test_no_key_goes_beyond_the_servers_rate(self, tmp_path: Path) -> None:
        with open_site(tmp_path / "data", requests_per_minute=60) as site:
            async with client_of(site) as client:
                refused = await client.post("/v1/keys", json={"requests_per_minute": 61})
                assert_error(refused, 403, "forbidden")
                made = await client.post("/v1/keys", json={"requests_per_minute": 60})
                assert made.status_code == 201

    async def test_a_weak_key_cannot_become_a_strong_one(
        self, client: httpx.AsyncClient, site: Site
    ) -> None:
        weak = _key(site, _only(Scope.KEYS))
        refused = await client.post(f"/v1/keys/{site.key.key_id}/rotate", headers=_headers(weak))
        assert_error(refused, 403, "forbidden")
        assert "token" not in refused.json()
        assert (await client.get("/v1/models")).status_code == 200

    @pytest.mark.parametrize(
        "body",
        [
            {"account": "bob"},
            {"account_id": "x"},
            {"counts_as": None},
            {"settled_micro": -5},
            {"spend_capp": 1},
            {"scopes": "read"},
            {"scopes": ["root"]},
            {"scopes": [1]},
            {"scopes": [1] * 100_000},
            {"name": ""},
            {"name": "a\u202e\n"},
            {"requests_per_minute": 0},
            {"requests_per_minute": "5"},
            {"requests_per_minute": True},
            {"jobs_at_once": 1.5},
            {"spend_cap": -1},
            {"spend_cap": 0},
            {"spend_cap": 0.0000001},
            {"spend_cap": "NaN"},
            {"spend_cap": 1e308},
            {"spend_cap": True},
            {"spend_cap": [1]},
            {"expires_in_s": 0},
            {"expires_in_s": 10**12},
        ],
    )
    async def test_a_wrong_field_is_named_and_nothing_is_made(
        self, client: httpx.AsyncClient, site: Site, body: dict[str, object]
    ) -> None:
        refused = await client.post("/v1/keys", json=body)
        assert_error(refused, 400, "invalid_request")
        (name,) = body
        assert name in refused.json()["error"]
        assert len(refused.content) < 10_000
        assert refused.json()["details"]
        assert len(site.services.accounts.list_keys()) == 1

    async def test_an_overlap_out_of_range_is_named(
        self, client: httpx.AsyncClient, site: Site
    ) -> None:
        for overlap_s in (-1, 10**9, "soon"):
            refused = await client.post(
                f"/v1/keys/{site.key.key_id}/rotate", json={"overlap_s": overlap_s}
            )
            assert_error(refused, 400, "invalid_request")
            assert "overlap_s" in refused.json()["error"]
        assert len(site.services.accounts.list_keys()) == 1

    async def test_a_page_of_another_origin_may_revoke(self, client: httpx.AsyncClient) -> None:
        asked = {"origin": "https://example.org", "access-control-request-method": "DELETE"}
        answer = await client.options("/v1/keys/x", headers=asked)
        assert "DELETE" in answer.headers["access-control-allow-methods"]


class TestUsage:
    async def test_it_is_told_by_day_and_key(self, client: httpx.AsyncClient, site: Site) -> None:
        other = _key(site)
        await client.post(URL, json=PROMPT | {"samples": 2})
        await client.post(URL, json=PROMPT, headers=_headers(other))
        answer = await client.get("/v1/usage")
        today = clock.now().date().isoformat()
        rows = {row["key_id"]: row for row in answer.json()["usage"]}
        first = {"day": today, "account": "ann", "key_name": None, "refunded": 0.0}
        assert rows == {
            site.key.key_id: first
            | {"key_id": site.key.key_id, "jobs": 1, "images": 2, "credits": 0.039474},
            other.key_id: first
            | {"key_id": other.key_id, "jobs": 1, "images": 1, "credits": 0.019737},
        }
        assert answer.json()["until"] == today

    async def test_a_period_that_is_none_is_named(self, client: httpx.AsyncClient) -> None:
        empty = await client.get("/v1/usage?since=2020-01-01&until=2020-01-31")
        assert empty.json() == {"since": "2020-01-01", "until": "2020-01-31", "usage": []}
        for query in ("since=now", "until=", "since=2020-01-01&until=2022-01-01"):
            assert_error(await client.get(f"/v1/usage?{query}"), 400, "invalid_request")
