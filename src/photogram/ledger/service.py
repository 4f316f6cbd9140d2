"""Balances, grants, refunds, usage and the proof of the sums, for callers without a transaction."""

import asyncio

import structlog
from sqlalchemy import Connection

from photogram.core import ids
from photogram.core.errors import InvalidRequestError, StorageError
from photogram.ledger import audit, reports, repository
from photogram.ledger.entries import Balance, LedgerReport
from photogram.ledger.pricing import MAX_CREDITS, MICRO_PER_CREDIT
from photogram.ledger.reports import AccountSummary, Period, Usage
from photogram.storage.database import Database

_CHECK_INTERVAL_S = 3600.0
_MOST_TOLD = 20

_log = structlog.get_logger(__name__)


class LedgerService:
    """The ledger of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._survey = asyncio.Lock()

    def grant(
        self,
        account_id: str,
        amount_micro: int,
        *,
        actor: str,
        idem_ref: str | None = None,
        is_free: bool = False,
        reason: str | None = None,
    ) -> int:
        """Give an account credits; returns what it may spend then, in micro-credits.

        Args:
            account_id: Who gets them.
            amount_micro: Micro-credits, above zero.
            actor: Who gives them, for the record.
            idem_ref: The same reference again gives nothing more.
            is_free: They were not paid for; free credits are spent first.
            reason: Why, for the record.

        Raises:
            InvalidRequestError: The amount is not above zero, or is too large.
            NotFoundError: There is no such account.
            ConflictError: The reference was used for another transfer.
        """
        if not 0 < amount_micro <= MAX_CREDITS * MICRO_PER_CREDIT:
            raise InvalidRequestError(f"a grant must be above 0 and at most {MAX_CREDITS} credits")

        def give(connection: Connection) -> int:
            repository.grant(
                connection,
                account_id,
                amount_micro,
                idem_ref or ids.new_id(),
                actor,
                is_free=is_free,
                reason=reason,
            )
            return repository.available(connection, account_id)

        return self._database.transact(give)

    def refund(
        self,
        job_id: str,
        amount_micro: int | None = None,
        *,
        actor: str,
        reason: str,
        idem_ref: str | None = None,
    ) -> int:
        """Give back what a job has cost, paid credits first; returns how many micro-credits.

        Args:
            job_id: A job that has succeeded.
            amount_micro: Micro-credits, above zero; None: all that was not given back before.
            actor: Who decides it, for the record.
            reason: Why, for the record.
            idem_ref: The same reference again gives nothing more.

        Raises:
            NotFoundError: There is no such job.
            ConflictError: The job has cost less than that, or the reference was used for another
                transfer.
        """
        given = self._database.transact(
            repository.refund, job_id, amount_micro, idem_ref or ids.new_id(), actor, reason
        )
        return given.amount_micro

    def balance(self, account_id: str) -> int:
        """What an account may spend, in micro-credits.

        Raises:
            NotFoundError: There is no such account.
        """
        return self._database.transact(repository.available, account_id, readonly=True)

    async def remaining(self, account_id: str) -> int:
        """`balance`, from asyncio."""
        return await self._database.run(repository.available, account_id, readonly=True)

    async def spendable(self, account_id: str) -> Balance:
        """What an account may spend, and how much of it was given for free.

        Raises:
            NotFoundError: There is no such account.
        """
        return await self._database.run(repository.spendable, account_id, readonly=True)

    def usage(self, period: Period, account_id: str | None = None) -> list[Usage]:
        """What the keys of one account, or of all, did; a running server is not kept waiting."""
        return self._database.survey(reports.usage, period, account_id)

    async def report_usage(self, period: Period, account_id: str | None = None) -> list[Usage]:
        """`usage`, from asyncio; one at a time, whoever asks."""
        async with self._survey:
            return await self._database.browse(reports.usage, period, account_id)

    def accounts(self, limit: int, after: str = "") -> list[AccountSummary]:
        """So many accounts by name, from the first whose name comes after `after`."""
        return self._database.transact(reports.accounts, limit, after, readonly=True)

    def check(self) -> LedgerReport:
        """Recompute every sum from the transfers; a running server is not kept waiting."""
        return self._database.survey(audit.audit)

    async def watch(self, interval_s: float = _CHECK_INTERVAL_S) -> None:
        """`check` now and every so often, until cancelled; what does not hold is logged."""
        while True:
            try:
                report = await self._database.browse(audit.audit)
            except StorageError as error:
                _log.warning("the_ledger_was_not_checked", reason=error.message)
            else:
                if not report.is_ok:
                    _log.error(
                        "the_ledger_does_not_hold", violations=report.violations[:_MOST_TOLD]
                    )
            await asyncio.sleep(interval_s)
