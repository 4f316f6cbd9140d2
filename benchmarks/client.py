"""The client of every load: sends requests to one server, and notes when each was answered.

Closed loop: so many clients, each sends its next request when it has its answer. Open loop: requests
are sent at instants fixed before, whether or not earlier ones were answered, and each one's latency
counts from the instant at which it was due, so that a slow server cannot slow its own clock.
"""

import asyncio
import math
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

import httpx
import msgspec

from benchmarks.servers import DEFAULT_ACCOUNT, Site
from benchmarks.traffic import Request

_TIMEOUT_S = 300.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request.

    Attributes:
        latency_s: From the instant at which it was due; infinite if it has no picture.
        engine_s: What the server says its engine took; None if it does not say.
    """

    request: Request
    latency_s: float
    engine_s: float | None


class Client:
    """Connections to one server; an asynchronous context manager."""

    def __init__(self, site: Site) -> None:
        self._site = site
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._http = httpx.AsyncClient(base_url=site.url, timeout=_TIMEOUT_S, limits=limits)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def paint(
        self, request: Request, account: str = DEFAULT_ACCOUNT, due_at: float | None = None
    ) -> Answer:
        """Send one request and wait for its picture.

        Args:
            request: What to paint.
            account: Who asks.
            due_at: When it was due, in seconds of `time.perf_counter`; now by default.
        """
        started_at = time.perf_counter() if due_at is None else due_at
        try:
            answer = await self._http.post(
                self._site.path,
                json=self._site.body(request),
                headers=self._site.headers(account),
            )
        except httpx.TransportError:  # hung up on: what the person who waits has is no picture
            return Answer(request=request, latency_s=math.inf, engine_s=None)
        latency_s = time.perf_counter() - started_at
        has_picture = answer.headers.get("content-type", "").startswith("image/")
        engine_s = answer.headers.get("x-generation-time")
        return Answer(
            request=request,
            latency_s=latency_s if has_picture else math.inf,
            engine_s=None if engine_s is None else float(engine_s),
        )

    async def one_by_one(self, wanted: Iterable[Request]) -> list[Answer]:
        """Send requests one after another: what each takes alone."""
        return [await self.paint(request) for request in wanted]

    async def closed_loop(self, wanted: Iterable[Request], num_clients: int) -> list[Answer]:
        """Send requests from so many clients; each waits for its answer before its next one."""
        queue = iter(wanted)
        answers: list[Answer] = []

        async def work() -> None:
            for request in queue:
                answers.append(await self.paint(request))  # noqa: PERF401 in order of the answers

        await asyncio.gather(*(work() for _ in range(num_clients)))
        return answers

    async def open_loop(self, wanted: Sequence[Request], due_s: Sequence[float]) -> list[Answer]:
        """Send each request when it is due, and wait for the answers of all.

        Args:
            wanted: The requests.
            due_s: Seconds from now, one for each request.
        """
        started_at = time.perf_counter()

        async def send(request: Request, due_at: float) -> Answer:
            await asyncio.sleep(max(due_at - time.perf_counter(), 0.0))
            return await self.paint(request, due_at=due_at)

        return await asyncio.gather(
            *(send(one, started_at + due) for one, due in zip(wanted, due_s, strict=True))
        )
