"""What becomes of the jobs of a server that is gone: another one takes them over.

Durable jobs are painted again from their first step, under the same hold; the same seed gives the
same picture. A job whose client waited at the lost connection is closed, and its hold released.
"""

import asyncio
from typing import Final

import structlog

from photogram.core import clock
from photogram.core.errors import (
    DeadlineExceededError,
    EngineFailedError,
    EngineOverloadedError,
    PhotogramError,
)
from photogram.core.messages import DRAINING
from photogram.generation.catalogue import Catalogue
from photogram.generation.closing import Holding
from photogram.generation.dispatcher import MAX_ATTEMPTS, POISON
from photogram.generation.lease import LEASE
from photogram.generation.repository import servers
from photogram.generation.repository.servers import Orphan
from photogram.generation.service import GenerationService
from photogram.storage.database import Database

SERVER_RESTARTED: Final = "server_restarted"
MODEL_GONE: Final = "model_gone"

_INTERVAL_S: Final = 2.0
_RETRY_S: Final = 0.25
_AT_ONCE: Final = 16
"""So few that the servers of one database share what is to be taken over."""

_WORDS: Final = {
    SERVER_RESTARTED: "the server was restarted; the request was not billed",
    POISON: "the server ended each time it worked on this request; it was set aside and not billed",
}

_log = structlog.get_logger(__name__)


class Recovery:
    """Looks for such jobs for as long as a server runs.

    Args:
        database: Where they are.
        generation: What paints them.
        server_id: Who takes them.
    """

    def __init__(self, database: Database, generation: GenerationService, server_id: str) -> None:
        self._database = database
        self._generation = generation
        self._server_id = server_id

    async def watch(self) -> None:
        """Take over what there is, now and every so often, until cancelled."""
        while True:
            try:
                orphans = await self._database.run(servers.take_over, self._server_id, _AT_ONCE)
            except PhotogramError as error:
                _log.warning("no_jobs_taken_over", reason=error.message)
                # Who could not renew his lease meanwhile is not dead: he gets the time to.
                await asyncio.sleep(LEASE.total_seconds())
                continue
            for orphan in await self._end_hopeless(orphans):
                _log.info("job_taken_over", job_id=orphan.id, attempt=orphan.attempt)
                await self._resume(orphan)
            if not orphans:
                await asyncio.sleep(_INTERVAL_S)

    async def _end_hopeless(self, orphans: list[Orphan]) -> list[Orphan]:
        """Close those that are not to be painted again; returns the others."""
        durable = []
        for orphan in orphans:
            reason = reason_to_end(orphan, self._generation.catalogue)
            if reason is None:
                durable.append(orphan)
            else:
                await self._give_up(orphan, reason)
        return durable

    async def _resume(self, orphan: Orphan) -> None:
        """Wait for a place in the engine."""
        while True:
            try:
                await self._generation.resume(orphan)
            except EngineOverloadedError as error:
                if error.error_code == DRAINING:
                    return  # the next server finds it when this one's lease ends
                if late := reason_to_end(orphan, self._generation.catalogue):
                    await self._give_up(orphan, late)
                    return
                await asyncio.sleep(_RETRY_S)
                continue
            except PhotogramError as error:
                await self._give_up(orphan, error)
            except Exception:  # noqa: BLE001 - whatever is wrong with it, others are taken over
                _log.exception("a job could not be taken over", job_id=orphan.id)
                await self._give_up(orphan, EngineFailedError())
            return

    async def _give_up(self, orphan: Orphan, error: PhotogramError) -> None:
        """Close it in a transaction of its own, which holds the rows of one customer alone."""
        try:
            await self._generation.give_up(Holding(orphan.id, orphan.fence, 0.0), error)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("a job could not be closed", job_id=orphan.id)


def reason_to_end(orphan: Orphan, catalogue: Catalogue) -> PhotogramError | None:
    """What a job fails of that is not to be painted again; None where it is."""
    if not orphan.is_durable or not orphan.request:
        code = SERVER_RESTARTED
    elif orphan.deadline_at is not None and orphan.deadline_at <= clock.now():
        return DeadlineExceededError()
    elif orphan.attempt >= MAX_ATTEMPTS:
        code = POISON
    elif not catalogue.has(orphan.model):
        words = f"this server has no model {orphan.model} any more; the request was not billed"
        return EngineFailedError(words, code=MODEL_GONE)
    else:
        return None
    return EngineFailedError(_WORDS[code], code=code)
