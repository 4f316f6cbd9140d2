"""A run told as server-sent events while it happens.

A run, its steps and its previews come in, bytes go out as they are known; what the events are called and what
they hold is the `EventWords`' choice. If the client hangs up, the run is cancelled and not billed.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from photogram.api.context import context_of
from photogram.api.errors import CLIENT_GONE
from photogram.api.runs import end_run, hang_up
from photogram.core.errors import PhotogramError
from photogram.core.messages import JobEvent, Preview, Progress
from photogram.generation.closing import Outcome
from photogram.generation.service import GenerationService, Run

KEEP_ALIVE = b": still here\n\n"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; `data` becomes JSON."""

    name: str
    data: Mapping[str, Any]

    def encode(self, event_id: str = "") -> bytes:
        """As it goes over the wire; with an id, a client can say that it has heard it."""
        head = f"id: {event_id}\n" if event_id else ""
        return f"{head}event: {self.name}\ndata: {json.dumps(self.data)}\n\n".encode()


EventQueue = asyncio.Queue[JobEvent | None]
"""What is told of a run on the way: as many as it has steps and previews, and few more."""


class EventWords(Protocol):
    """What is told of a run, and in which words."""

    def queued(self, run: Run) -> Iterable[ServerEvent]:
        """The run was admitted."""

    def progress(self, progress: Progress) -> Iterable[ServerEvent]:
        """A step is done."""

    def preview(self, preview: Preview) -> Iterable[ServerEvent]:
        """This is what a picture will roughly look like."""

    def finished(self, outcome: Outcome) -> Iterable[ServerEvent]:
        """The pictures are there, and paid for."""

    def failed(self, error: PhotogramError) -> Iterable[ServerEvent]:
        """There is no picture, and nothing was billed."""


class EventStream(Response):
    """The answer that tells a run.

    Args:
        generation: Where the run is.
        run: A run that was admitted.
        events: Where what is told of it arrives.
        words: What is told of it.
        headers: What is known of the answer already.
    """

    media_type = "text/event-stream"
    keep_alive_s: ClassVar[float] = 10.0
    """Clients and proxies give up on a connection that is silent for long, most after 30 s."""

    def __init__(
        self,
        generation: GenerationService,
        run: Run,
        events: EventQueue,
        words: EventWords,
        headers: Mapping[str, str],
    ) -> None:
        self.status_code = 200
        self.background = None
        # A proxy that collects an answer before it passes it on would make a stream useless.
        self.init_headers({**headers, "X-Accel-Buffering": "no"})
        self._generation = generation
        self._run = run
        self._events = events
        self._words = words

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        result = asyncio.create_task(self._generation.result(self._run))
        result.add_done_callback(lambda _: self._events.put_nowait(None))
        telling = asyncio.create_task(self._tell(scope, send, result))
        left = asyncio.create_task(hang_up(receive))
        try:
            await asyncio.wait({telling, left}, return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                telling.result()
            else:
                context_of(scope).error_code = CLIENT_GONE
        finally:
            left.cancel()
            telling.cancel()
            await asyncio.wait({telling})
            await end_run(self._generation, self._run, result)

    async def _tell(self, scope: Scope, send: Send, result: asyncio.Task[Outcome]) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async for chunk in self._chunks(scope, result):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _chunks(
        self, scope: Scope, result: asyncio.Task[Outcome]
    ) -> AsyncGenerator[bytes, None]:
        for event in self._words.queued(self._run):
            yield event.encode()
        while True:
            try:
                told = await asyncio.wait_for(self._events.get(), self.keep_alive_s)
            except TimeoutError:
                yield KEEP_ALIVE
                continue
            if told is None:
                break
            for event in self._on_the_way(told):
                yield event.encode()
        for event in self._last_events(scope, result):
            yield event.encode()

    def _on_the_way(self, told: JobEvent) -> Iterable[ServerEvent]:
        match told:
            case Progress():
                return self._words.progress(told)
            case Preview():
                return self._words.preview(told)
            case _:  # the end is told once it is paid for
                return ()

    def _last_events(self, scope: Scope, result: asyncio.Task[Outcome]) -> Iterable[ServerEvent]:
        try:
            return self._words.finished(result.result())
        except PhotogramError as error:
            context_of(scope).error_code = error.error_code
            return self._words.failed(error)
