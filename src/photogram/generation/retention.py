"""What is kept for a time and then forgotten: results, idempotency keys, requests, messages.

The ledger, and that a job was, are never forgotten.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import Connection

from photogram.core import clock
from photogram.core.errors import StorageError
from photogram.generation.repository import answers, assets, records, servers, sources
from photogram.storage.blobs import BlobFolder
from photogram.storage.database import Database
from photogram.webhooks.repository import outbox

REQUESTS_KEPT: Final = timedelta(days=30)
"""After that, nobody finds out from a job what its prompt was."""

_SERVERS_KEPT: Final = timedelta(days=1)
_INTERVAL_S: Final = 60.0
_AT_ONCE: Final = 500
_ORPHAN_AGE: Final = timedelta(hours=1)
"""A file that young may belong to a job that is just being closed, or to an upload."""

_log = structlog.get_logger(__name__)


class Retention:
    """Removes what has had its time.

    Args:
        database: Where it stands.
        blobs: The files.
    """

    def __init__(self, database: Database, blobs: BlobFolder) -> None:
        self._database = database
        self._blobs = blobs

    async def watch(self, interval_s: float = _INTERVAL_S) -> None:
        """Look now and every so often, until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.sweep)
            except (StorageError, OSError) as error:
                _log.warning("nothing_was_swept", reason=str(error))
            await asyncio.sleep(interval_s)

    def sweep(self) -> None:
        """Remove files that have expired or that nobody knows, and forget what is old.

        A file goes before its row says so: a sweep that breaks off is made good by the next one.

        Raises:
            StorageError: The database refused.
            OSError: The folder did.
        """
        while expired := self._database.transact(
            records.expired_files, clock.now(), _AT_ONCE, readonly=True
        ):
            self._blobs.remove(expired)
            self._database.transact(records.mark_removed, expired, clock.now())
        while expired := self._database.transact(
            assets.expired_files, clock.now(), _AT_ONCE, readonly=True
        ):
            self._blobs.remove(expired)
            self._database.transact(assets.forget, expired)
        while needless := self._database.transact(sources.needless_files, _AT_ONCE, readonly=True):
            self._blobs.remove(needless)
            self._database.transact(sources.forget, needless)
        self._remove_unknown_files()
        while self._database.transact(outbox.forget, clock.now()):
            pass
        self._database.transact(_forget)

    def _remove_unknown_files(self) -> None:
        before = clock.now() - _ORPHAN_AGE
        old = [name for name, written_at in self._blobs.names() if written_at < before]
        for start in range(0, len(old), _AT_ONCE):
            names = old[start : start + _AT_ONCE]
            known = self._database.transact(_known_files, names, readonly=True)
            self._blobs.remove(set(names) - known)


def _known_files(connection: Connection, names: Sequence[str]) -> set[str]:
    known = (each.known_files(connection, names) for each in (records, assets, sources))
    return set().union(*known)


def _forget(connection: Connection) -> None:
    answers.forget_old(connection)
    records.forget_requests(connection, clock.now() - REQUESTS_KEPT)
    servers.forget_old(connection, _SERVERS_KEPT)
