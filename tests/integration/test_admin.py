"""The operators' API: its own app and keys, and an entry in the journal for every change."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from photogram.accounts.models import NewOperatorKey
from photogram.accounts.operators import OperatorService
from photogram.api.admin.app import create_admin_app
from photogram.api.admin.server import serve_operators
from photogram.api.app import create_app
from photogram.storage.journal import Entry
from tests.unit.api.serving import PROMPT, Site, assert_error


@pytest.fixture
def operators(site: Site) -> OperatorService:
    return OperatorService(site.services.database, site.services.folder.pepper())


@pytest.fixture
def operator(operators: OperatorService) -> NewOperatorKey:
    return operators.create_key("eve", actor="cli")


@pytest.fixture
async def admin(
    site: Site, operators: OperatorService, operator: NewOperatorKey
) -> AsyncIterator[httpx.AsyncClient]:
    """An operator's client."""
    transport = httpx.ASGITransport(create_admin_app(site.services, operators))
    headers = {"x-api-key": operator.token}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://operators", headers=headers
    ) as opened:
        yield opened


def _routes(app: FastAPI) -> list[tuple[str, str]]:
    return [
        (method, re.sub(r"{\w+}", "x", route.path or ""))
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
    ]


class TestPlanes:
    async def test_every_operators_route_needs_an_operators_key(
        self, admin: httpx.AsyncClient, site: Site, operators: OperatorService
    ) -> None:
        routes = _routes(create_admin_app(site.services, operators))
        assert len(routes) >= 12
        for method, path in routes:
            for headers, code in (
                ({"x-api-key": ""}, "missing_api_key"),
                ({"x-api-key": site.key.token}, "invalid_api_key"),
                ({"x-api-key": site.key.token.replace("_live_", "_adm_")}, "invalid_api_key"),
            ):
                answer = await admin.request(method, path, json={}, headers=headers)
                assert_error(answer, 401, code)

    async def test_customers_listeners_know_no_operators_path(
        self,
        client: httpx.AsyncClient,
        site: Site,
        operators: OperatorService,
        operator: NewOperatorKey,
    ) -> None:
        customers = {path for _, path in _routes(create_app(site.services))}
        for method, path in _routes(create_admin_app(site.services, operators)):
            assert path not in customers
            for token in (site.key.token, operator.token):
                answer = await client.request(method, path, headers={"x-api-key": token})
                assert_error(answer, 404, "not_found")
        refused = await client.get("/v1/keys", headers={"x-api-key": operator.token})
        assert_error(refused, 401, "invalid_api_key")

    async def test_other_origins_are_not_let_in(self, admin: httpx.AsyncClient) -> None:
        origin = {"origin": "https://example.org", "access-control-request-method": "POST"}
        for answer in (
            await admin.options("/admin/keys", headers=origin),
            await admin.get("/admin/keys", headers=origin),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control")]

    async def test_a_revoked_operators_key_opens_nothing(
        self, admin: httpx.AsyncClient, operators: OperatorService, operator: NewOperatorKey
    ) -> None:
        assert (await admin.get("/admin/keys")).status_code == 200
        await asyncio.to_thread(operators.revoke_key, operator.key_id, actor="cli")
        assert_error(await admin.get("/admin/keys"), 401, "invalid_api_key")

    async def test_unknown_paths_and_documents_are_not_there(
        self, admin: httpx.AsyncClient
    ) -> None:
        for path in ("/", "/admin", "/openapi.json", "/docs", "/v1/flux-dev", "/healthz"):
            assert_error(await admin.get(path), 404, "not_found")

    async def test_it_listens_on_a_socket_of_its_own_and_stops(
        self, site: Site, operators: OperatorService, operator: NewOperatorKey
    ) -> None:
        async with serve_operators(site.services, operators, None):
            pass
        listener = socket.create_server(("127.0.0.1", 0))
        host, port = listener.getsockname()
        url, headers = f"http://{host}:{port}/admin/keys", {"x-api-key": operator.token}
        async with (
            serve_operators(site.services, operators, listener),
            httpx.AsyncClient() as client,
        ):
            assert (await client.get(url, headers=headers)).status_code == 200
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(url)


class TestSessions:
    async def test_a_key_becomes_a_session_of_the_listeners_own_pages(
        self, admin: httpx.AsyncClient, site: Site, operators: OperatorService
    ) -> None:
        own = {"sec-fetch-site": "same-origin"}
        foreign = await admin.post("/admin/session", headers={"sec-fetch-site": "same-site"})
        assert_error(foreign, 403, "forbidden")
        answer = await admin.post("/admin/session", headers=own)
        assert answer.status_code == 204
        assert answer.headers["set-cookie"].startswith("photogram_operator=")
        del admin.headers["x-api-key"]
        assert (await admin.get("/admin/keys", headers=own)).status_code == 200
        for headers in ({}, {"sec-fetch-site": "same-site"}, {"origin": "http://operators:8000"}):
            assert_error(await admin.get("/admin/keys", headers=headers), 401, "missing_api_key")
        made = await admin.post("/admin/accounts", json={"name": "bob"}, headers=own)
        assert operators.journal(1)[0].subject == made.json()["account_id"]
        assert_error(await admin.post("/admin/session", headers=own), 403, "forbidden")
        await admin.delete("/admin/session", headers=own)
        assert_error(await admin.get("/admin/keys", headers=own), 401, "missing_api_key")

    async def test_guessing_keys_has_an_end(self, admin: httpx.AsyncClient) -> None:
        wrong = {"x-api-key": "phg_admin_typo", "sec-fetch-site": "same-origin"}
        answers = [await admin.post("/admin/session", headers=wrong) for _ in range(31)]
        assert_error(answers[0], 401, "invalid_api_key")
        assert_error(answers[-1], 429, "rate_limited")

    async def test_a_customers_session_is_none_here(
        self, admin: httpx.AsyncClient, site: Site
    ) -> None:
        own = {"sec-fetch-site": "same-origin"}
        del admin.headers["x-api-key"]
        new = await site.services.sessions.begin(key_id=site.key.key_id)
        admin.cookies.set("photogram_operator", new.secret)
        assert_error(await admin.get("/admin/keys", headers=own), 401, "invalid_api_key")


class TestChanges:
    """Each writes who did what, in the transaction that does it."""

    async def test_accounts(self, admin: httpx.AsyncClient, operators: OperatorService) -> None:
        made = await admin.post("/admin/accounts", json={"name": "bob"})
        again = await admin.post("/admin/accounts", json={"name": "bob"})
        assert made.json() == again.json()
        listed = (await admin.get("/admin/accounts")).json()["accounts"]
        assert [(row["account"], row["credits"]) for row in listed] == [("ann", 10.0), ("bob", 0.0)]
        page = (await admin.get("/admin/accounts?limit=1&after=ann")).json()["accounts"]
        assert [row["account"] for row in page] == ["bob"]
        assert _actions(operators) == [("account.create", made.json()["account_id"])]
        assert_error(
            await admin.post("/admin/accounts", json={"name": "a b"}), 400, "invalid_request"
        )

    async def test_keys(
        self,
        admin: httpx.AsyncClient,
        client: httpx.AsyncClient,
        operators: OperatorService,
        site: Site,
    ) -> None:
        body = {"account": "bob", "name": "ci", "scopes": ["read"], "jobs_at_once": 2}
        made = (await admin.post("/admin/keys", json=body)).json()
        key_id, headers = made["key_id"], {"x-api-key": made["token"]}
        assert (made["scopes"], made["jobs_at_once"], made["spend_cap"]) == (["read"], 2, None)
        assert (await client.get("/v1/get-user-credits", headers=headers)).status_code == 200

        change = {"scopes": ["generate"], "jobs_at_once": None, "spend_cap": 2, "name": None}
        changed = (await admin.patch(f"/admin/keys/{key_id}", json=change)).json()
        assert (changed["scopes"], changed["jobs_at_once"]) == (["generate"], None)
        assert (changed["spend_cap"], changed["name"]) == (2.0, "ci")
        assert (await client.get("/v1/get-user-credits", headers=headers)).status_code == 403

        rotated = (await admin.post(f"/admin/keys/{key_id}/rotate", json={"overlap_s": 0})).json()
        assert (await client.get("/v1/pricing", headers=headers)).status_code == 401
        assert (await admin.delete(f"/admin/keys/{rotated['key_id']}")).json()["state"] == "revoked"

        listed = (await admin.get("/admin/keys?account=bob")).json()["keys"]
        assert [row["state"] for row in listed] == ["expired", "revoked"]
        assert "token" not in json.dumps(listed)
        assert _actions(operators) == [
            ("key.revoke", rotated["key_id"]),
            ("key.rotate", rotated["key_id"]),
            ("key.change", key_id),
            ("key.create", key_id),
            ("account.create", site.services.accounts.account_id("bob")),
        ]
        for method, path in (("PATCH", "/admin/keys/x"), ("DELETE", "/admin/keys/x")):
            assert_error(await admin.request(method, path, json={}), 404, "not_found")

    async def test_credits(
        self,
        admin: httpx.AsyncClient,
        client: httpx.AsyncClient,
        operators: OperatorService,
        site: Site,
    ) -> None:
        grant = {"account": "ann", "credits": "2.5", "reference": "invoice-7", "reason": "paid"}
        for _ in range(2):
            assert (await admin.post("/admin/grants", json=grant)).json()["credits"] == 12.5
        other = grant | {"credits": 3}
        assert_error(await admin.post("/admin/grants", json=other), 409, "conflict")

        await client.post("/v1/flux-dev", json=PROMPT)
        (job_id,) = [job.job_id for job in site.engine.submitted]
        refund = {"job": job_id, "reference": "r1", "reason": "blurred", "credits": 0.01}
        for _ in range(2):
            answer = await admin.post("/admin/refunds", json=refund)
            assert answer.json() == {"job": job_id, "refunded": 0.01}
        assert _actions(operators) == [
            ("credits.refund", job_id),
            ("credits.grant", site.account_id),
        ]
        entry = operators.journal(1)[0]
        assert json.loads(entry.details)["reason"] == "blurred"
        assert json.loads(entry.details)["credits"] == "0.01"

        usage = (await admin.get("/admin/usage?account=ann")).json()["usage"]
        assert [(row["credits"], row["refunded"]) for row in usage] == [(0.019737, 0.01)]
        assert (await admin.get("/admin/usage?account=zoe")).status_code == 404

    @pytest.mark.parametrize(
        ("path", "body", "named"),
        [
            ("/admin/grants", {"account": "ann", "credits": 1}, "reference"),
            ("/admin/grants", {"account": "ann", "credits": 0, "reference": "r"}, "above 0"),
            ("/admin/grants", {"account": "ann", "credits": -1, "reference": "r"}, "credits"),
            ("/admin/refunds", {"job": "x", "reference": "r"}, "reason"),
            ("/admin/refunds", {"job": "x", "reference": "\0", "reason": "r"}, "reference"),
            ("/admin/refunds", {"job": "x", "reference": "r", "reason": "a\0"}, "reason"),
            ("/admin/grants", {"account": "ann", "credits": 1, "reference": "\0"}, "reference"),
            ("/admin/keys", {"name": "x"}, "account"),
            ("/admin/keys", {"account": "ann", "spend_capp": 1}, "spend_capp"),
        ],
    )
    async def test_a_wrong_field_is_named(
        self, admin: httpx.AsyncClient, path: str, body: dict[str, object], named: str
    ) -> None:
        answer = await admin.post(path, json=body)
        assert_error(answer, 400, "invalid_request")
        assert named in answer.json()["error"]

    @pytest.mark.parametrize("place", ["audit?before", "accounts?after", "keys?account"])
    async def test_what_can_be_no_name_is_named(self, admin: httpx.AsyncClient, place: str) -> None:
        answer = await admin.get(f"/admin/{place}=%00")
        assert_error(answer, 400, "invalid_request")
        assert place.partition("?")[2] in answer.json()["error"]

    @pytest.mark.parametrize("job", ["\0", "", "a b"])
    async def test_what_can_be_no_job_is_none(self, admin: httpx.AsyncClient, job: str) -> None:
        refund = {"job": job, "reference": "r", "reason": "r"}
        assert_error(await admin.post("/admin/refunds", json=refund), 404, "not_found")

    async def test_a_change_that_cannot_be_journaled_does_not_happen(
        self, admin: httpx.AsyncClient, site: Site
    ) -> None:
        await asyncio.to_thread(
            site.services.database.transact,
            lambda connection: connection.exec_driver_sql(
                "CREATE TRIGGER broken BEFORE INSERT ON audit_entry"
                " BEGIN SELECT RAISE(ABORT, 'no'); END"
            ).close(),
        )
        grant = {"account": "ann", "credits": 1, "reference": "r"}
        assert (await admin.post("/admin/grants", json=grant)).status_code == 503
        assert (await admin.post("/admin/keys", json={"account": "bob"})).status_code == 503
        assert (await admin.delete(f"/admin/keys/{site.key.key_id}")).status_code == 503
        assert site.balance_micro() == 10_000_000
        (key,) = site.services.accounts.list_keys()
        assert key.revoked_at is None
        assert [row.name for row in site.services.ledger.accounts(10)] == ["ann"]


class TestRecords:
    async def test_the_ledger_is_proved(self, admin: httpx.AsyncClient) -> None:
        answer = (await admin.get("/admin/ledger/check")).json()
        assert answer == {
            "is_ok": True,
            "violations": [],
            "num_accounts": 1,
            "num_transfers": 1,
            "num_open_holds": 0,
        }

    async def test_the_journal_is_read_backwards_in_pages(
        self, admin: httpx.AsyncClient, operator: NewOperatorKey
    ) -> None:
        for name in ("bob", "cid", "dan"):
            await admin.post("/admin/accounts", json={"name": name})
        first = (await admin.get("/admin/audit?limit=2")).json()["entries"]
        assert [entry["details"]["name"] for entry in first] == ["dan", "cid"]
        assert {entry["actor"] for entry in first} == {f"admin:{operator.key_id}"}
        second = (await admin.get(f"/admin/audit?limit=1&before={first[-1]['id']}")).json()
        assert [entry["details"]["name"] for entry in second["entries"]] == ["bob"]
        for limit in ("0", "1001", "-1", "x", "9" * 5000):
            assert_error(await admin.get(f"/admin/audit?limit={limit}"), 400, "invalid_request")


def _actions(operators: OperatorService) -> list[tuple[str, str]]:
    """What operators did over HTTP, the newest first."""
    entries: list[Entry] = operators.journal(100)
    return [(entry.action, entry.subject) for entry in entries if entry.actor.startswith("admin:")]
