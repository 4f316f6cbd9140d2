"""Browsers' sessions over HTTP: what the cookie opens, for whom, and for how long."""

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest
import structlog

from photogram.accounts.models import Rights, Scope
from photogram.api.app import create_app
from tests.unit.api.serving import PROMPT, Site, assert_error, open_site

OWN = {"sec-fetch-site": "same-origin"}
FOREIGN = [
    {},
    {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
    {"sec-fetch-site": "same-site", "origin": "http://photogram:8001"},
    {"sec-fetch-site": "none"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"referer": "https://evil.example/photogram"},
]


@pytest.fixture
async def browser(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """It keeps cookies, and has no key."""
    transport = httpx.ASGITransport(create_app(site.services))
    async with httpx.AsyncClient(transport=transport, base_url="http://photogram") as opened:
        yield opened
    await site.services.generation.close()


async def _sign_in(
    browser: httpx.AsyncClient, token: str, headers: dict[str, str] = OWN
) -> httpx.Response:
    return await browser.post("/v1/session", headers={"x-api-key": token, **headers})


async def test_a_key_becomes_a_cookie_that_works_as_it(
    browser: httpx.AsyncClient, site: Site
) -> None:
    answer = await _sign_in(browser, site.key.token)
    assert answer.status_code == 201
    assert (answer.json()["key_id"], answer.json()["account"]) == (site.key.key_id, "ann")
    assert site.key.token not in answer.text
    cookie = answer.headers["set-cookie"]
    assert re.fullmatch(
        r"photogram_session=[\w-]{43}; HttpOnly; Max-Age=43200; Path=/; SameSite=strict", cookie
    )
    balance = await browser.get("/v1/get-user-credits", headers=OWN)
    assert balance.json()["credits"] == 10.0
    painted = await browser.post("/v1/flux-dev", json=PROMPT, headers=OWN)
    assert painted.status_code == 200
    assert float(painted.headers["x-remaining-credits"]) < 10
    known = await browser.get("/v1/session", headers=OWN)
    assert known.json()["key_id"] == site.key.key_id


async def test_over_https_the_cookie_stays_with_the_host(site: Site) -> None:
    transport = httpx.ASGITransport(create_app(site.services))
    async with httpx.AsyncClient(transport=transport, base_url="https://photogram") as browser:
        answer = await _sign_in(browser, site.key.token)
        assert answer.headers["set-cookie"].startswith("__Host-photogram_session=")
        assert "; Secure" in answer.headers["set-cookie"]
        assert (await browser.get("/v1/session", headers=OWN)).status_code == 200


@pytest.mark.parametrize("headers", FOREIGN)
async def test_other_pages_have_no_session(
    browser: httpx.AsyncClient, site: Site, headers: dict[str, str]
) -> None:
    refused = await _sign_in(browser, site.key.token, headers)
    assert_error(refused, 403, "forbidden")
    assert "set-cookie" not in refused.headers
    await _sign_in(browser, site.key.token)
    for method, path in (
        ("POST", "/v1/flux-dev"),
        ("POST", "/v1/keys"),
        ("GET", "/v1/keys"),
        ("GET", "/webhook/inactive?webhook_id=x"),
        ("DELETE", f"/v1/keys/{site.key.key_id}"),
        ("DELETE", "/v1/session"),
    ):
        answer = await browser.request(method, path, json={}, headers=headers)
        assert_error(answer, 401, "missing_api_key")
        assert "access-control-allow-credentials" not in answer.headers
    assert (await browser.get("/v1/session", headers=OWN)).status_code == 200


async def test_a_page_on_plain_http_says_where_it_is_from(
    browser: httpx.AsyncClient, site: Site
) -> None:
    """Browsers send no Sec-Fetch-Site there."""
    await _sign_in(browser, site.key.token, {"origin": "http://photogram"})
    for headers in ({"origin": "http://photogram"}, {"referer": "http://photogram/account"}):
        assert (await browser.get("/v1/session", headers=headers)).status_code == 200


async def test_a_key_in_the_header_wins(browser: httpx.AsyncClient, site: Site) -> None:
    other = await asyncio.to_thread(site.services.accounts.create_key, "bob")
    await _sign_in(browser, site.key.token)
    for headers in ({"x-api-key": other.token}, {"authorization": f"Bearer {other.token}"}):
        answer = await browser.get("/v1/session", headers={**OWN, **headers})
        assert answer.json()["account"] == "bob"
    wrong = await browser.get("/v1/session", headers={**OWN, "x-api-key": "phg_live_typo"})
    assert_error(wrong, 401, "invalid_api_key")


async def test_a_wrong_key_begins_nothing_and_guessing_has_an_end(
    browser: httpx.AsyncClient, site: Site
) -> None:
    answers = [await _sign_in(browser, "phg_live_typo") for _ in range(31)]
    assert_error(answers[0], 401, "invalid_api_key")
    assert_error(answers[-1], 429, "rate_limited")
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert not browser.cookies
    assert_error(await _sign_in(browser, site.key.token), 429, "rate_limited")
    with_key = await browser.get("/v1/session", headers=site.headers)
    assert with_key.status_code == 200  # who has the key is not shut out


async def test_a_session_begets_no_other(browser: httpx.AsyncClient, site: Site) -> None:
    await _sign_in(browser, site.key.token)
    assert_error(await browser.post("/v1/session", headers=OWN), 403, "forbidden")


async def test_signing_out_ends_the_session_itself(browser: httpx.AsyncClient, site: Site) -> None:
    await _sign_in(browser, site.key.token)
    stolen = dict(browser.cookies)
    answer = await browser.delete("/v1/session", headers=OWN)
    assert answer.status_code == 204
    assert not browser.cookies
    browser.cookies.update(stolen)
    assert_error(await browser.get("/v1/session", headers=OWN), 401, "invalid_api_key")


async def test_revoking_a_key_ends_its_sessions(browser: httpx.AsyncClient, site: Site) -> None:
    await _sign_in(browser, site.key.token)
    revoked = await browser.delete(f"/v1/keys/{site.key.key_id}", headers=OWN)
    assert revoked.json()["state"] == "revoked"
    assert_error(await browser.get("/v1/session", headers=OWN), 401, "invalid_api_key")


async def test_no_log_line_holds_a_key_or_a_cookie(browser: httpx.AsyncClient, site: Site) -> None:
    with structlog.testing.capture_logs() as lines:
        await _sign_in(browser, site.key.token)
        secret = browser.cookies["photogram_session"]
        await browser.get("/v1/keys", headers=OWN)
        await browser.delete("/v1/session", headers=OWN)
        browser.cookies.set("photogram_session", secret)
        await browser.get("/v1/keys", headers=OWN)
    assert [line["status"] for line in lines] == [201, 200, 204, 401]
    assert secret not in repr(lines)
    assert site.key.token.rsplit("_", 1)[1] not in repr(lines)


async def test_a_session_may_do_what_its_key_may(browser: httpx.AsyncClient, site: Site) -> None:
    rights = Rights(scopes=frozenset({Scope.READ}))
    key = await asyncio.to_thread(site.services.accounts.create_key, "ann", rights=rights)
    await _sign_in(browser, key.token)
    assert (await browser.get("/v1/session", headers=OWN)).json()["scopes"] == ["read"]
    assert_error(await browser.get("/v1/keys", headers=OWN), 403, "forbidden")


async def test_behind_a_proxy_the_public_address_is_its_own(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data = tmp_path_factory.mktemp("public") / "data"
    with open_site(data, public_url="https://pictures.example") as site:
        transport = httpx.ASGITransport(create_app(site.services))
        async with httpx.AsyncClient(transport=transport, base_url="http://upstream") as browser:
            answer = await _sign_in(browser, site.key.token, {"origin": "https://pictures.example"})
            assert answer.headers["set-cookie"].startswith("__Host-photogram_session=")
