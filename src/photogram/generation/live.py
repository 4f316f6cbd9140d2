"""What is told of jobs while this server works on them, for any number of listeners.

Events of the engine go in once and come out to whoever listens, from the first one or from where he
left off. It knows nothing of what the events mean, and forgets a job when it ends.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from photogram.core.messages import JobEvent, Progress


class LiveJob:
    """The events of one job so far.

    Args:
        on_event: Told of each at once; it must neither wait nor fail.
    """

    def __init__(self, on_event: Callable[[JobEvent], None] | None) -> None:
        self._on_event = on_event
        self._events: list[JobEvent] = []
        self._news = asyncio.Event()
        self._is_over = False
        self.progress = 0.0
        """The share of its steps that are done, 0-1."""

    def tell(self, event: JobEvent) -> None:
        """Something happened."""
        if isinstance(event, Progress):
            self.progress = event.step / event.num_steps
        self._events.append(event)
        if self._on_event is not None:
            self._on_event(event)
        self._wake()

    def end(self) -> None:
        """Nothing more will be told."""
        self._is_over = True
        self._wake()

    async def listen(self, after: int = 0) -> AsyncIterator[tuple[int, JobEvent]]:
        """The events after that many, as they come, each with its number; until the job's end.

        Who has heard more than there were has heard them of another server: he gets all.
        """
        number = after if after <= len(self._events) else 0
        while True:
            while number < len(self._events):
                number += 1
                yield number, self._events[number - 1]
            if self._is_over:
                return
            await self._news.wait()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


class LiveJobs:
    """The jobs that this server works on."""

    def __init__(self) -> None:
        self._jobs: dict[str, LiveJob] = {}

    def begin(self, job_id: str, on_event: Callable[[JobEvent], None] | None) -> LiveJob:
        """A job is taken on."""
        live = self._jobs[job_id] = LiveJob(on_event)
        return live

    def find(self, job_id: str) -> LiveJob | None:
        """The job, if it has not ended and is here."""
        return self._jobs.get(job_id)

    def end(self, job_id: str) -> None:
        """The job is closed, or given up."""
        if live := self._jobs.pop(job_id, None):
            live.end()
