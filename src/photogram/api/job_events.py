"""A job told as server-sent events, for any number of listeners, from where each of them left off.

A job that was found comes in; what happens to it here goes out under the numbers of its events, and
its end as its record tells it. Of a job at another server, or one that waits for a server, only the
record is seen. To leave harms no job.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import ClassVar, Final

from starlette.responses import StreamingResponse

from photogram.api.job_answers import job_answer
from photogram.api.links import Links
from photogram.api.picture_events import PictureEvents
from photogram.api.streaming import KEEP_ALIVE, EventStream, ServerEvent
from photogram.core.errors import StorageError
from photogram.core.messages import JobEvent, Preview, Progress
from photogram.generation.records import JobRecord
from photogram.generation.shelf import Shelf
from photogram.generation.states import OPEN_STATES, JobState

LAST_ID: Final = "end"
"""The id of the last event: who has it has heard all."""


class JobEvents:
    """What is told of one job to one listener.

    Args:
        shelf: Where the job is.
        words: What is told of it on the way.
        links: Where its pictures will be.
    """

    poll_s: ClassVar[float] = 1.0
    """How often a record is looked at, where nothing else tells of its job."""

    def __init__(self, shelf: Shelf, words: PictureEvents, links: Links) -> None:
        self._shelf = shelf
        self._words = words
        self._links = links

    def response(self, job: JobRecord, after: int) -> StreamingResponse:
        """The answer that tells a job.

        Args:
            job: The job.
            after: So many of its events are known to the listener.
        """
        return StreamingResponse(
            _with_keep_alives(self._tell(job, after), EventStream.keep_alive_s),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    async def _tell(self, job: JobRecord, after: int) -> AsyncGenerator[bytes, None]:
        while job.state in OPEN_STATES:
            events = self._shelf.listen(job.id, after)
            if events is None:
                if self._shelf.is_closing:
                    return  # the listener finds the job at the next server
                await asyncio.sleep(self.poll_s)
            else:
                async for number, event in events:
                    after = number
                    for told in self._on_the_way(event):
                        yield told.encode(str(number))
            # While the database is out of order, the job is as it was.
            with contextlib.suppress(StorageError):
                job = await self._shelf.get(job.id)
        yield self._end(job).encode(LAST_ID)

    def _on_the_way(self, event: JobEvent) -> Iterable[ServerEvent]:
        match event:
            case Progress():
                return self._words.progress(event)
            case Preview():
                return self._words.preview(event)
            case _:  # the end is told as the record has it
                return ()

    def _end(self, job: JobRecord) -> ServerEvent:
        name = "completed" if job.state == JobState.SUCCEEDED else "error"
        answer = job_answer(self._words.request_id, job, self._shelf.advance(job.id), self._links)
        return ServerEvent(name, answer.model_dump(mode="json"))


async def _with_keep_alives(
    chunks: AsyncGenerator[bytes, None], every_s: float
) -> AsyncIterator[bytes]:
    """The chunks, with a comment after every silence of so many seconds."""
    async with contextlib.aclosing(chunks):
        while True:
            coming = asyncio.ensure_future(anext(chunks, None))
            try:
                while not (await asyncio.wait({coming}, timeout=every_s))[0]:
                    yield KEEP_ALIVE
                chunk = coming.result()
            finally:
                coming.cancel()
                await asyncio.wait({coming})
            if chunk is None:
                return
            yield chunk
