"""An account's past requests, as Segmind's SDK asks for them."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection

from photogram.core import clock
from tests.unit.api.serving import PROMPT, Site, assert_error

HISTORY = "/inference-request/request-history"
GENERATIONS = "/inference-request/generations"
RECENT = "/inference-request/recent-generations"


async def rows(client: httpx.AsyncClient, path: str = HISTORY, **params: object) -> list[Any]:
    answer = await client.get(path, params={name: str(each) for name, each in params.items()})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    found: list[Any] = body["requests" if path == HISTORY else "generations"]
    return found


@pytest.fixture
async def painted(client: httpx.AsyncClient, site: Site) -> tuple[str, str]:
    """A request for two pictures, and one that has failed; their ids."""
    two = await client.post("/v2/flux-dev", json=PROMPT | {"samples": 2, "steps": 3})
    await site.services.generation.close()
    site.engine.fail_with = "no paint"
    failed = await client.post("/v2/flux-dev", json=PROMPT | {"prompt": "a hen"})
    await site.services.generation.close()
    site.engine.fail_with = None
    return two.json()["request_id"], failed.json()["request_id"]


async def test_the_history_tells_every_request(
    client: httpx.AsyncClient, painted: tuple[str, str]
) -> None:
    two, failed = painted
    found = await rows(client)
    assert [row["request_id"] for row in found] == [failed, two, two]
    broken, first, second = found
    assert (broken["model_status"], broken["error"]) == ("FAILED", "no paint")
    assert (broken["credits_deduction"], broken["generation_url"]) == (0.0, None)
    assert (first["model_status"], first["error"]) == ("COMPLETED", None)
    assert first["credits_deduction"] == second["credits_deduction"] == 0.007573
    assert first["generation_url"] != second["generation_url"]
    assert (await client.get(second["generation_url"])).status_code == 200
    assert first["model_name"] == "flux-dev"
    assert first["latency_ms"] >= 0
    assert first["prompt"] == "a red fox"
    assert (
        first["request_body"]
        == first["parameters"]
        == {
            "prompt": "a red fox",
            "samples": 2,
            "guidance": 3.5,
            "steps": 3,
            "width": 64,
            "height": 64,
            "seed": 46588,
            "output_format": "webp",
            "output_quality": 80,
        }
    )
    assert (await client.get(f"{HISTORY}/{two}")).json() == first


async def test_generations_have_pictures(
    client: httpx.AsyncClient, painted: tuple[str, str]
) -> None:
    two, _ = painted
    for path in (GENERATIONS, RECENT):
        found = await rows(client, path, model_name="flux")
        assert [row["request_id"] for row in found] == [two, two]
        assert await rows(client, path, model_name="sdxl") == []


@pytest.mark.parametrize(
    ("params", "numbers"),
    [
        ({}, [1, 0]),
        ({"status": "FAILED"}, [1]),
        ({"status": "COMPLETED"}, [0]),
        ({"status": "PENDING"}, []),
        ({"sort_order": "asc"}, [0, 1]),
        ({"sort_by": "credits_deduction"}, [0, 1]),
        ({"sort_by": "credits_deduction", "sort_order": "asc"}, [1, 0]),
        ({"sort_by": "model_name"}, [1, 0]),
        ({"per_page": 1}, [1]),
        ({"per_page": 1, "page": 2}, [0]),
        ({"page": 3}, []),
        ({"model_name": "FLUX%"}, []),
        ({"to_date": "2020-01-31"}, []),
        ({"user_id": "", "status": ""}, [1, 0]),
        ({"text": "A HEN"}, [1]),
        ({"text": "a%n"}, []),
        ({"text": "webp"}, []),
        ({"key_id": "AAAAAAAA"}, []),
    ],
)
async def test_the_history_is_filtered_sorted_and_paged(
    client: httpx.AsyncClient,
    painted: tuple[str, str],
    params: dict[str, Any],
    numbers: list[int],
) -> None:
    found = [row["request_id"] for row in await rows(client, **params)]
    assert list(dict.fromkeys(found)) == [painted[number] for number in numbers]


async def test_a_page_says_where_it_is(
    client: httpx.AsyncClient, painted: tuple[str, str], site: Site
) -> None:
    assert painted
    body = (await client.get(HISTORY, params={"per_page": "1"})).json()
    assert {name: body[name] for name in ("page", "per_page", "total", "total_pages")} == {
        "page": 1,
        "per_page": 1,
        "total": 2,
        "total_pages": 2,
    }
    mine = await client.get(GENERATIONS, params={"user_id": site.account_id})
    assert (mine.json()["page"], mine.json()["total"]) == (1, 1)


async def test_days_are_whole(client: httpx.AsyncClient, painted: tuple[str, str]) -> None:
    assert painted
    today = clock.now().date()
    tomorrow = today + timedelta(days=1)
    assert len(await rows(client, from_date=today, to_date=today)) == 3
    assert await rows(client, from_date=tomorrow, to_date=tomorrow) == []
    assert len(await rows(client, GENERATIONS, start_date=today, end_date=today)) == 2
    assert await rows(client, GENERATIONS, start_date=tomorrow) == []
    assert await rows(client, GENERATIONS, end_date="2020-01-01") == []


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        (HISTORY, {"page": "0"}, "page"),
        (HISTORY, {"page": "x"}, "page"),
        (HISTORY, {"page": "1" * 30}, "page"),
        (HISTORY, {"per_page": "101"}, "per_page"),
        (HISTORY, {"status": "DONE"}, "status"),
        (HISTORY, {"sort_by": "prompt"}, "sort_by"),
        (HISTORY, {"sort_order": "up"}, "sort_order"),
        (HISTORY, {"from_date": "2026-13-01"}, "from_date"),
        (HISTORY, {"from_date": "01.02.2026"}, "from_date"),
        (HISTORY, {"from_date": "2026-01-01", "to_date": "2026-02-01"}, "from_date"),
        (HISTORY, {"from_date": "2026-01-02", "to_date": "2026-01-01"}, "from_date"),
        (HISTORY, {"to_date": "9999-12-31"}, "to_date"),
        (HISTORY, {"model_name": "a\0b"}, "model_name"),
        (GENERATIONS, {"start_date": "0001-01-01"}, "start_date"),
        (GENERATIONS, {"page": "1.5"}, "page"),
        (RECENT, {"model_name": "x" * 201}, "model_name"),
    ],
)
async def test_what_cannot_be_read_is_refused_and_named(
    client: httpx.AsyncClient, path: str, params: dict[str, str], field: str
) -> None:
    answer = await client.get(path, params=params)
    assert_error(answer, 400, "invalid_request")
    assert answer.json()["details"][0]["field"] == field
    assert field in answer.json()["error"]


@pytest.mark.parametrize("who", [{"user_id": "another"}, {"user_email": "a@b.example"}])
async def test_nobody_else_is_there(client: httpx.AsyncClient, who: dict[str, str]) -> None:
    assert_error(await client.get(HISTORY, params=who), 404, "not_found")


async def test_a_request_from_before_pictures_were_kept(
    client: httpx.AsyncClient, site: Site, painted: tuple[str, str]
) -> None:
    """It has succeeded and was billed; how much is not known here."""
    name, _ = painted

    def age(connection: Connection) -> None:
        for change in ("DELETE FROM image", "UPDATE job SET result = NULL, request = NULL"):
            connection.exec_driver_sql(change)

    site.services.database.transact(age)
    for version in ("v1", "v2"):
        answer = await client.get(f"/{version}/requests/{name}")
        assert_error(answer, 404, "not_found")
        assert "not kept any more" in answer.json()["error"]
    status = await client.get(f"/v2/requests/{name}/status")
    assert (status.status_code, status.json()["status"]) == (200, "COMPLETED")
    told = await client.get(f"/v2/requests/{name}/events")
    assert "event: completed" in told.text
    row = (await client.get(f"{HISTORY}/{name}")).json()
    assert (row["status"], row["credits_deduction"], row["error"]) == ("COMPLETED", None, None)
