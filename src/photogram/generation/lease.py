"""A server's word that it lives, on which it owns its jobs."""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from photogram.core import ids
from photogram.core.errors import StorageError
from photogram.generation.repository import servers
from photogram.storage.database import Database

LEASE: Final = timedelta(seconds=15)
"""So long after its last word a server is taken for dead, and others take its jobs."""

_RENEWAL_S: Final = 4.0

_log = structlog.get_logger(__name__)


class ServerLease:
    """One run of a server.

    Args:
        database: Whose jobs it works on.
        is_alone: Nobody else can be alive (it holds the only lock): earlier servers are dead.

    Raises:
        StorageError: The database refused.

    Attributes:
        server_id: Its name.
    """

    def __init__(self, database: Database, *, is_alone: bool) -> None:
        self.server_id = ids.new_id()
        self._database = database
        database.transact(servers.register, self.server_id, LEASE)
        if is_alone:
            database.transact(servers.end_others, self.server_id)

    async def keep(self) -> None:
        """Renew it until cancelled."""
        while True:
            await asyncio.sleep(_RENEWAL_S)
            try:
                await self._database.run(servers.renew, self.server_id, LEASE)
            except StorageError as error:
                # Who takes its jobs meanwhile raises their fences: nothing is closed twice.
                _log.warning("lease_not_renewed", reason=error.message)

    def end(self) -> None:
        """The server leaves; what it leaves open, the next one may take at once."""
        try:
            self._database.transact(servers.renew, self.server_id, timedelta())
        except StorageError as error:
            _log.warning("lease_not_ended", reason=error.message)
