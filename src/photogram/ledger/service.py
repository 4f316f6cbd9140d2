"""Balances, grants and the proof of the sums, for callers that hold no transaction of their own."""

from sqlalchemy import Connection

from photogram.core import ids
from photogram.core.errors import InvalidRequestError
from photogram.ledger import audit, repository
from photogram.ledger.entries import LedgerReport
from photogram.ledger.pricing import MAX_CREDITS, MICRO_PER_CREDIT
from photogram.storage.database import Database


class LedgerService:
    """The ledger of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def grant(
        self, account_id: str, amount_micro: int, *, actor: str, idem_ref: str | None = None
    ) -> int:
        """Give an account credits; returns what it may spend then, in micro-credits.

        Args:
            account_id: Who gets them.
            amount_micro: Micro-credits, above zero.
            actor: Who gives them, for the record.
            idem_ref: The same reference again gives nothing more.

        Raises:
            InvalidRequestError: The amount is not above zero, or is too large.
            NotFoundError: There is no such account.
            ConflictError: The reference was used for another transfer.
        """
        if not 0 < amount_micro <= MAX_CREDITS * MICRO_PER_CREDIT:
            raise InvalidRequestError(f"a grant must be above 0 and at most {MAX_CREDITS} credits")
        return self._database.transact(
            _grant, account_id, amount_micro, idem_ref or ids.new_id(), actor
        )

    def balance(self, account_id: str) -> int:
        """What an account may spend, in micro-credits.

        Raises:
            NotFoundError: There is no such account.
        """
        return self._database.transact(repository.available, account_id, readonly=True)

    async def remaining(self, account_id: str) -> int:
        """`balance`, from asyncio."""
        return await self._database.run(repository.available, account_id, readonly=True)

    def check(self) -> LedgerReport:
        """Recompute every sum from the transfers; a running server is not kept waiting."""
        return self._database.transact(audit.audit, readonly=True)


def _grant(
    connection: Connection, account_id: str, amount_micro: int, idem_ref: str, actor: str
) -> int:
    repository.grant(connection, account_id, amount_micro, idem_ref, actor)
    return repository.available(connection, account_id)
