"""uvicorn's server with a drain: what is under way finishes, what is new is told to come back.

In: signals. Out: a return from `serve` once the last job has ended, so that what is open can be
closed. It knows the engine's jobs only by their number.
"""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import structlog
import uvicorn

from photogram.core.ports import Engine

_POLL_S = 0.05

_log = structlog.get_logger(__name__)


class DrainingServer(uvicorn.Server):
    """A uvicorn server that drains after SIGTERM or SIGINT, and returns.

    uvicorn itself stops listening at once, so that nobody could be told to come back later; and it
    raises the signal again when it is done, which would end the process there.

    Args:
        config: As for uvicorn.
        engine: What drains.
        drain_timeout_s: Jobs that still run after so long end as failed, unbilled.
    """

    def __init__(self, config: uvicorn.Config, engine: Engine, *, drain_timeout_s: float) -> None:
        super().__init__(config)
        self._engine = engine
        self._drain_timeout_s = drain_timeout_s

    def end_if_failed(self, task: asyncio.Task[None]) -> None:
        """For a task that the server makes no sense without."""
        if not task.cancelled() and task.exception() is not None:
            self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        """Drain; at the second signal, end at once."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def main_loop(self) -> None:
        """Serve until a signal, then finish the jobs under way; the rest is told to come back."""
        await super().main_loop()
        self._engine.drain()
        if self._engine.num_jobs:
            _log.info("draining", num_jobs=self._engine.num_jobs, at_once="a second signal")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_timeout_s):
                while self._engine.num_jobs and not self.force_exit:  # noqa: ASYNC110 - a signal cannot set an event
                    await asyncio.sleep(_POLL_S)
        await self._engine.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals while serving; what handled them before does so again after."""
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
