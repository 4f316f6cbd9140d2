"""The client, against a real socket on which a server of a few lines listens."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from benchmarks.client import Client
from benchmarks.servers import PhotogramSite
from benchmarks.traffic import Request

Answering = Callable[[bytes], Awaitable[bytes]]

PICTURE = b"HTTP/1.1 200 OK\r\ncontent-type: image/webp\r\nx-generation-time: 0.5\r\ncontent-length: 1\r\n\r\nx"
ERROR = b"HTTP/1.1 503 No\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
WANTED = [Request(prompt=f"number {index}") for index in range(6)]


@asynccontextmanager
async def client_of(answer: Answering) -> AsyncIterator[Client]:
    talks: list[asyncio.Task[None]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                writer.write(await answer(head + await reader.readexactly(length)))
        except asyncio.IncompleteReadError:  # the client has hung up
            writer.close()
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.ensure_future(talk(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    site = PhotogramSite(f"http://127.0.0.1:{port}", pid=0, tokens={"default": "a", "trickle": "b"})
    async with Client(site) as client:
        yield client
    await asyncio.gather(*talks)
    server.close()
    await server.wait_closed()


async def test_the_open_loop_sends_on_time_whatever_is_not_answered_yet() -> None:
    arrived, all_arrived = 0, asyncio.Event()

    async def answer(_request: bytes) -> bytes:
        nonlocal arrived
        arrived += 1
        if arrived == len(WANTED):
            all_arrived.set()
        await all_arrived.wait()
        return PICTURE

    async with client_of(answer) as client:
        answers = await client.open_loop(WANTED, [0.01 * index for index in range(len(WANTED))])
    assert [one.request for one in answers] == WANTED
    # all were answered at once, so the first to be due waited longest
    assert answers[0].latency_s > answers[-1].latency_s


async def test_the_closed_loop_never_has_more_under_way_than_clients() -> None:
    under_way, most = 0, 0

    async def answer(_request: bytes) -> bytes:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return PICTURE

    async with client_of(answer) as client:
        answers = await client.closed_loop(WANTED, 2)
    assert most == 2
    assert sorted(one.request.prompt for one in answers) == [one.prompt for one in WANTED]


async def test_a_request_without_a_picture_takes_for_ever() -> None:
    async def answer(_request: bytes) -> bytes:
        return ERROR

    async with client_of(answer) as client:
        assert math.isinf((await client.paint(WANTED[0])).latency_s)


async def test_a_server_that_hangs_up_has_painted_nothing() -> None:
    async def answer(_request: bytes) -> bytes:
        raise asyncio.IncompleteReadError(b"", None)

    async with client_of(answer) as client:
        assert math.isinf((await client.paint(WANTED[0])).latency_s)


async def test_the_account_and_the_engines_time_are_passed_on() -> None:
    seen: list[bytes] = []

    async def answer(request: bytes) -> bytes:
        seen.append(request)
        return PICTURE

    async with client_of(answer) as client:
        painted = await client.paint(WANTED[0], "trickle")
    assert painted.engine_s == 0.5
    assert b"x-api-key: b" in seen[0]
    assert b'"prompt":"number 0"' in seen[0]
