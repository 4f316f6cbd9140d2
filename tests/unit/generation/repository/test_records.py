import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from photogram.accounts.models import Principal
from photogram.core import clock
from photogram.core.errors import NotFoundError
from photogram.generation.orders import KeptOrder
from photogram.generation.records import JobFilter, StoredFile, StoredImage
from photogram.generation.repository import assets, jobs, records, servers
from photogram.generation.repository.jobs import FIRST_FENCE
from photogram.generation.states import JobState
from photogram.storage.blobs import new_blob_name
from tests.unit.generation.ordering import ORDER
from tests.unit.storage.stocked import FIGURES, Stock, fail, new_job, open_stock

HASH = "0" * 64


def stored(expires_at: datetime) -> StoredImage:
    return StoredImage(0, new_blob_name("png"), 7, 64, 64, "image/png", 9, HASH, expires_at)


def succeed_with(stock: Stock, cost_micro: int, image: StoredImage) -> str:
    """A job that was painted and costs so much; returns its id."""
    job_id = stock.admit(cost_micro)
    stock.database.transact(jobs.succeed, job_id, FIRST_FENCE, cost_micro, FIGURES, (image,))
    return job_id


def listed(stock: Stock, wanted: JobFilter, offset: int = 0, limit: int = 9) -> list[str]:
    account_id = stock.customer.account_id
    page = stock.database.transact(records.page, account_id, wanted, offset, limit, readonly=True)
    assert page.num_in_all >= len(page.jobs)
    return [job.id for job in page.jobs]


def test_an_id_is_found_before_a_clients_own_name_for_another(stock: Stock) -> None:
    stock.grant(100)
    first = stock.admit(1)
    account_id = stock.customer.account_id
    stock.database.transact(jobs.admit, replace(new_job(stock.customer, 1), request_id=first))
    found = stock.database.transact(records.find, account_id, first, readonly=True)
    assert found.id == first
    with pytest.raises(NotFoundError):
        stock.database.transact(records.find, "another", first, readonly=True)


def test_lists_are_sorted_and_cut(stock: Stock) -> None:
    stock.grant(100)
    tomorrow = clock.now() + timedelta(days=1)
    dear = succeed_with(stock, 50, stored(tomorrow))
    cheap = succeed_with(stock, 5, stored(tomorrow))
    failed = stock.admit(20)
    stock.database.transact(fail, failed, JobState.FAILED, "test")
    assert listed(stock, JobFilter()) == [failed, cheap, dear]
    assert listed(stock, JobFilter(), offset=1, limit=1) == [cheap]
    assert listed(stock, JobFilter(is_ascending=True)) == [dear, cheap, failed]
    assert listed(stock, JobFilter(sort_by="cost")) == [dear, cheap, failed]
    assert listed(stock, JobFilter(sort_by="cost", is_ascending=True)) == [failed, cheap, dear]
    assert listed(stock, JobFilter(sort_by="model")) == [failed, cheap, dear]
    assert listed(stock, JobFilter(states=(JobState.FAILED,))) == [failed]
    assert listed(stock, JobFilter(model="FLUX")) == [failed, cheap, dear]
    assert listed(stock, JobFilter(model="sdxl")) == listed(stock, JobFilter(model="%")) == []
    assert listed(stock, JobFilter(until=datetime(2020, 1, 1, tzinfo=UTC))) == []


def test_jobs_are_found_by_their_prompt_and_their_key(stock: Stock) -> None:
    stock.grant(100)
    other = Principal(stock.customer.account_id, stock.accounts.create_key("ann").key_id)
    kept = {}
    for prompt, who in (('a "Red" fox', stock.customer), ("100% löwe\n\\", other)):
        request = KeptOrder(replace(ORDER, prompt=prompt), "").encode()
        new = replace(new_job(who, 1), request=request)
        stock.database.transact(jobs.admit, new)
        kept[prompt[0]] = new.id
    forgotten = stock.admit(1)
    for text, found in (
        ('"red" F', "a"),
        ("100% l", "1"),
        ("\\", "1"),
        ("_", ""),
        ("0.001", ""),
    ):
        assert listed(stock, JobFilter(text=text)) == [kept[name] for name in found]
    assert listed(stock, JobFilter(key_id=other.key_id)) == [kept["1"]]
    assert listed(stock, JobFilter()) == [forgotten, kept["1"], kept["a"]]


def test_failures_of_all_accounts_are_told_newest_first(stock: Stock) -> None:
    stock.grant(100)
    since = clock.now() - timedelta(hours=1)
    failed = [stock.admit(1) for _ in range(3)]
    stock.admit(1)
    for number, job_id in enumerate(failed):
        state = JobState.CANCELLED if number == 1 else JobState.FAILED
        stock.database.transact(fail, job_id, state, f"code_{number}")
    found = stock.database.transact(records.failures, since, 9)
    assert [(each.job_id, each.error_code) for each in found] == [
        (failed[2], "code_2"),
        (failed[0], "code_0"),
    ]
    assert found[0].account_name == "ann"
    assert stock.database.transact(records.failures, since, 1) == found[:1]
    assert stock.database.transact(records.failures, clock.now() + timedelta(hours=1), 9) == []


def test_a_picture_is_there_until_it_expires(stock: Stock) -> None:
    transact = stock.database.transact
    stock.grant(100)
    now = clock.now()
    image = stored(now + timedelta(hours=1))
    succeed_with(stock, 5, image)
    expected = StoredFile(image.file_name, "image/png", 9, HASH, image.expires_at)
    name = image.file_name
    assert transact(records.find_file, name, now, readonly=True) == expected
    assert transact(records.find_file, name, now + timedelta(hours=1), readonly=True) is None
    transact(records.mark_removed, [name], now)
    assert transact(records.find_file, name, now, readonly=True) is None


def test_an_upload_is_there_until_it_expires(stock: Stock) -> None:
    transact = stock.database.transact
    now = clock.now()
    file = StoredFile(new_blob_name("png"), "image/png", 9, HASH, now + timedelta(hours=1))
    name = file.file_name
    transact(assets.add, stock.customer.account_id, [file], 9)
    later = now + timedelta(hours=1)
    assert transact(assets.find_file, name, now, readonly=True) == file
    assert transact(assets.find_file, name, later, readonly=True) is None
    assert transact(assets.known_files, [name, "x"], readonly=True) == {name}
    assert transact(assets.expired_files, now, 5, readonly=True) == []
    assert transact(assets.expired_files, later, 5, readonly=True) == [name]
    transact(assets.forget, [name])
    assert transact(assets.known_files, [name], readonly=True) == set()


def test_nothing_reads_all_jobs_to_find_a_few(tmp_path: Path) -> None:
    with open_stock(f"sqlite:///{tmp_path}/test.sqlite3", amount_micro=1) as stock:
        account_id = stock.customer.account_id
        by_id, by_name = _plans(stock, records.find, account_id, "name")
        assert any("SEARCH job USING INDEX sqlite_autoindex_job" in step for step in by_id)
        served = "SEARCH job USING INDEX jobs_by_request_id (account_id=? AND request_id=?)"
        assert served in by_name
        (forgotten,) = _plans(stock, records.forget_requests, clock.now())
        assert forgotten == ["SEARCH job USING INDEX remembered_jobs (finished_at<?)"]
        (servers_gone,) = _plans(stock, servers.forget_old, timedelta(days=1))
        assert any("jobs_of_a_server (server_id=?)" in step for step in servers_gone)


def _plans(stock: Stock, fn: Callable[..., object], *args: object) -> list[list[str]]:
    """How SQLite works out each of the statements of a function."""

    def explain(connection: Connection) -> list[list[str]]:
        seen = []

        def see(_c: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
            seen.append((statement, values))

        event.listen(connection, "before_cursor_execute", see)
        with contextlib.suppress(NotFoundError):
            fn(connection, *args)
        return [
            [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}", values)]
            for words, values in tuple(seen)
        ]

    return stock.database.transact(explain)
