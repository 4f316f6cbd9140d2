"""Messages go from the database to receivers on real sockets, whatever these do."""

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address

import pytest
from standardwebhooks import Webhook

from photogram.webhooks.addresses import AddressGuard, IPAddress
from photogram.webhooks.courier import DELAYS_S, MAX_PER_ACCOUNT, Courier
from photogram.webhooks.repository import registered
from photogram.webhooks.signing import new_secret
from tests.unit.storage.stocked import Stock
from tests.unit.webhooks.sink import OK, Sink, answer, open_sink
from tests.unit.webhooks.telling import PAYLOAD, Clock, announce, log_of, outcomes, running, until

INSIDE = AddressGuard(may_be_private=True)


def _courier(stock: Stock, clock: Clock | None = None, *, timeout_s: float = 15.0) -> Courier:
    return Courier(stock.database, INSIDE, now=clock or Clock(), attempt_timeout_s=timeout_s)


def _statuses(stock: Stock, job_id: str) -> Sequence[int | None]:
    return [attempt.status for attempt in log_of(stock, job_id)]


async def _run_until_attempt(
    courier: Courier, stock: Stock, job_id: str, clock: Clock, number: int
) -> None:
    """Wait for an attempt, moving the clock on to where it is due."""
    clock.ahead += timedelta(seconds=DELAYS_S[number - 2] * 1.25 if number > 1 else 0)
    courier.wake()
    await until(lambda: len(log_of(stock, job_id)) >= number)


async def test_three_failures_then_success_is_one_message_with_one_id(stock: Stock) -> None:
    secret, clock = new_secret(), Clock()
    courier = _courier(stock, clock)
    async with open_sink(*[answer(500)] * 3, OK) as sink, running(courier):
        job_id = await asyncio.to_thread(announce, stock, sink.url, secret=secret)
        for number in (1, 2, 3, 4):
            await _run_until_attempt(courier, stock, job_id, clock, number)
        clock.ahead += timedelta(days=3)
        courier.wake()
        await until(lambda: outcomes(stock.database) == ["delivered"])
    assert _statuses(stock, job_id) == [500, 500, 500, 204]
    assert len(sink.received) == 4
    assert len({received.headers["webhook-id"] for received in sink.received}) == 1
    for received in sink.received:
        assert received.body == PAYLOAD.encode()
        assert Webhook(secret).verify(received.body, received.headers)
        assert received.headers["content-type"] == "application/json"
        assert received.headers["user-agent"].startswith("Photogram/")


async def test_after_the_last_attempt_it_is_given_up(stock: Stock) -> None:
    clock = Clock()
    courier = _courier(stock, clock)
    async with open_sink(answer(500)) as sink, running(courier):
        job_id = await asyncio.to_thread(announce, stock, sink.url)
        for number in range(1, len(DELAYS_S) + 2):
            await _run_until_attempt(courier, stock, job_id, clock, number)
        await until(lambda: outcomes(stock.database) == ["given_up"])
    assert len(sink.received) == 10
    assert "webhook-signature" not in sink.received[0].headers


async def test_an_attempt_is_not_made_before_its_time(stock: Stock) -> None:
    clock = Clock()
    courier = _courier(stock, clock)
    async with open_sink(answer(500)) as sink, running(courier):
        job_id = await asyncio.to_thread(announce, stock, sink.url)
        for number in (1, 2):
            await _run_until_attempt(courier, stock, job_id, clock, number)
        clock.ahead += timedelta(seconds=DELAYS_S[1] * 0.9)
        late_job_id = await asyncio.to_thread(announce, stock, sink.url)
        courier.wake()
        await until(lambda: len(log_of(stock, late_job_id)) == 1)
    assert len(log_of(stock, job_id)) == 2


async def test_a_receiver_that_asks_for_time_gets_it(stock: Stock) -> None:
    clock = Clock()
    courier = _courier(stock, clock)
    async with open_sink(answer(503, "Retry-After: 3600"), OK) as sink, running(courier):
        job_id = await asyncio.to_thread(announce, stock, sink.url)
        await _run_until_attempt(courier, stock, job_id, clock, 1)
        clock.ahead += timedelta(minutes=50)
        late_job_id = await asyncio.to_thread(announce, stock, sink.url)
        courier.wake()
        await until(lambda: len(log_of(stock, late_job_id)) == 1)
        assert len(log_of(stock, job_id)) == 1
        clock.ahead += timedelta(minutes=20)
        courier.wake()
        await until(lambda: len(log_of(stock, job_id)) == 2)


@pytest.mark.parametrize(
    "wish",
    ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "\xff"],
)
async def test_whatever_a_receiver_wishes_its_attempt_is_recorded(stock: Stock, wish: str) -> None:
    courier = _courier(stock)
    async with open_sink(answer(503, f"Retry-After: {wish}")) as sink, running(courier):
        job_id = await asyncio.to_thread(announce, stock, sink.url)
        await until(lambda: _statuses(stock, job_id) == [503])


async def test_silence_is_a_failure_after_a_while(stock: Stock) -> None:
    courier = _courier(stock, timeout_s=0.3)
    async with open_sink(None) as sink, running(courier):
        job_id = await asyncio.to_thread(announce, stock, sink.url)
        courier.wake()
        await until(lambda: len(log_of(stock, job_id)) == 1)
    (attempt,) = log_of(stock, job_id)
    assert (attempt.status, attempt.error) == (None, "There was no answer within 0.3 seconds.")
    assert outcomes(stock.database) == [None]


async def test_gone_ends_it_and_switches_the_webhook_off(stock: Stock) -> None:
    account_id = stock.customer.account_id
    courier = _courier(stock)
    async with open_sink(answer(410)) as sink, running(courier):
        await stock.database.run(
            registered.add_webhook, account_id, sink.url, ("PIXELFLOW",), new_secret()
        )
        await asyncio.to_thread(announce, stock, sink.url)
        courier.wake()
        await until(lambda: outcomes(stock.database) == ["gone", "gone"])
        (webhook,) = await stock.database.run(registered.list_webhooks, account_id)
    assert not webhook.is_active


async def test_a_redirect_is_a_failure_and_leads_nowhere(stock: Stock) -> None:
    courier = _courier(stock)
    async with (
        open_sink(OK) as canary,
        open_sink(answer(302, f"Location: {canary.url}")) as sink,
        running(courier),
    ):
        job_id = await asyncio.to_thread(announce, stock, sink.url)
        courier.wake()
        await until(lambda: _statuses(stock, job_id) == [302])
    assert canary.num_connections == 0
    assert outcomes(stock.database) == [None]


_COURIER_ALONE = """
import asyncio, sys
from photogram.storage.database import Database
from photogram.webhooks.addresses import AddressGuard
from photogram.webhooks.courier import Courier

async def main() -> None:
    await Courier(Database.open(sys.argv[1]), AddressGuard(may_be_private=True)).run()

asyncio.run(main())
"""


async def test_a_server_killed_between_sending_and_noting_leaves_it_to_the_next(
    stock: Stock,
) -> None:
    secret, clock = new_secret(), Clock()
    async with open_sink(OK) as sink:
        job_id = await asyncio.to_thread(announce, stock, sink.url, secret=secret)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _COURIER_ALONE, stock.url
        )

        async def kill() -> None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()

        sink.on_request = kill
        await until(lambda: process.returncode is not None)
        sink.on_request = None
        assert process.returncode == -signal.SIGKILL
        assert log_of(stock, job_id) == []
        courier = _courier(stock, clock)
        async with running(courier):
            clock.ahead += timedelta(seconds=61)
            await until(lambda: outcomes(stock.database) == ["delivered"])
    first, second = sink.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    for received in sink.received:
        assert Webhook(secret).verify(received.body, received.headers)
    assert [attempt.attempt for attempt in log_of(stock, job_id)] == [2]


async def test_a_flood_to_a_silent_receiver_keeps_nobody_elses_messages_waiting(
    stock: Stock,
) -> None:
    bob = stock.accounts.ensure_account("bob")
    courier = _courier(stock, timeout_s=600)
    async with open_sink(None) as silent, open_sink(OK) as sink, running(courier):
        await asyncio.to_thread(announce, stock, silent.url, num=1000)
        courier.wake()
        await until(lambda: len(silent.received) == MAX_PER_ACCOUNT)
        await asyncio.to_thread(announce, stock, sink.url, account_id=bob, num=50)
        courier.wake()
        await until(lambda: outcomes(stock.database).count("delivered") == 50)
        assert silent.most_open == MAX_PER_ACCOUNT
        assert sink.most_open <= MAX_PER_ACCOUNT


async def test_an_end_leaves_what_is_under_way_to_the_next_server(stock: Stock) -> None:
    courier = _courier(stock, timeout_s=600)
    async with open_sink(None) as sink:
        async with running(courier):
            await asyncio.to_thread(announce, stock, sink.url)
            courier.wake()
            await until(lambda: len(sink.received) == 1)
        assert outcomes(stock.database) == [None]
        await until(lambda: sink.num_open == 0)


async def test_an_end_waits_for_an_answer_that_is_about_to_come(stock: Stock) -> None:
    courier = Courier(stock.database, INSIDE, end_timeout_s=60)
    arrived, may_answer = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        arrived.set()
        await may_answer.wait()

    async with open_sink(OK) as sink:
        sink.on_request = wait
        async with running(courier):
            await asyncio.to_thread(announce, stock, sink.url)
            courier.wake()
            await arrived.wait()
            asyncio.get_running_loop().call_soon(may_answer.set)
        assert outcomes(stock.database) == ["delivered"]


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:{port}/", "https://127.0.0.1:{port}/", "https://[::1]:{port}/"),
        *("https://[::ffff:127.0.0.1]:{port}/", "https://[64:ff9b::127.0.0.1]:{port}/"),
        *("https://2130706433:{port}/", "https://0177.0.0.1:{port}/", "https://127.1:{port}/"),
        *("https://a@127.0.0.1:{port}/", "https://example.com@127.0.0.1:{port}/"),
        *("gopher://127.0.0.1:{port}/", "file:///etc/passwd", "https://①27.0.0.1:{port}/"),
        *("https://localhost:{port}/", "https://rebind.example.com:{port}/"),
        "https://mixed.example.com:{port}/",
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_no_packet_goes_inside(stock: Stock, url: str) -> None:
    async def answer_inside(name: str) -> list[IPAddress]:
        addresses = {"mixed.example.com": ["8.8.8.8", "127.0.0.1"]}
        return [ip_address(each) for each in addresses.get(name, ["127.0.0.1"])]

    guard = AddressGuard(may_be_private=False, look_up=answer_inside)
    courier = Courier(stock.database, guard)
    async with open_sink(OK) as canary, running(courier):
        job_id = await asyncio.to_thread(announce, stock, url.format(port=canary.port))
        courier.wake()
        await until(lambda: len(log_of(stock, job_id)) == 1)
    assert canary.num_connections == 0
    (attempt,) = log_of(stock, job_id)
    assert attempt.error is not None
    assert re.match(r"The URL must .*\.$", attempt.error)
    assert "127.0.0.1" not in attempt.error


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_name_that_changes_after_its_check_changes_nothing(stock: Stock) -> None:
    """Its first answer is one of ours, its second the canary's."""
    num_asked = 0
    first, second = ip_address("127.0.0.1"), ip_address("127.0.0.2")

    async def answer_in_turn(_name: str) -> list[IPAddress]:
        nonlocal num_asked
        num_asked += 1
        return [first if num_asked == 1 else second]

    courier = Courier(stock.database, AddressGuard(may_be_private=True, look_up=answer_in_turn))
    canary, sink = Sink([OK]), Sink([OK])
    server = await asyncio.start_server(sink.handle, str(first), 0)
    port = server.sockets[0].getsockname()[1]
    canary_server = await asyncio.start_server(canary.handle, str(second), port)
    async with running(courier):
        job_id = await asyncio.to_thread(announce, stock, f"http://rebind.example.com:{port}/")
        courier.wake()
        await until(lambda: _statuses(stock, job_id) == [204])
    server.close()
    canary_server.close()
    assert (num_asked, len(sink.received), canary.num_connections) == (1, 1, 0)
    assert sink.received[0].headers["host"] == f"rebind.example.com:{port}"
