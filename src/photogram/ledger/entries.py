"""The words of the ledger: what a transfer is, what a hold is, what a check finds.

Every transfer moves one amount from a debit account to a credit account, so that all sums stay
zero. A grant is one ``single`` transfer, and so is a refund, from what was earned. A request is paid for in two phases: ``pending`` reserves
(the hold), then either ``post`` settles it, wholly or in part, or ``void`` releases it.

Source: two-phase transfers, https://docs.tigerbeetle.com/develop/two-phase-transfers
"""

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """What a transfer does to its two accounts."""

    SINGLE = "single"
    PENDING = "pending"
    POST = "post"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Transfer:
    """One row that never changes. Amounts are micro-credits.

    Attributes:
        free_micro: The part of the amount that was given for free; it is spent first.
        pending_id: The hold that this one resolves.
        idem_ref: The same reference again is the same transfer, never a second one.
        job_id: The job that it pays for, or (a refund) gives back of.
        reason: Why a hold was released, or credits were given.
        actor: Who moved it: ``job``, or as in `storage.journal`.
    """

    id: str
    debit_account_id: str
    credit_account_id: str
    amount_micro: int
    phase: Phase
    idem_ref: str
    actor: str
    free_micro: int = 0
    pending_id: str | None = None
    job_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """What a customer may spend. Amounts are micro-credits.

    Attributes:
        total_micro: Free and paid together.
        free_micro: The part that was given for free.
    """

    total_micro: int
    free_micro: int


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """What `LedgerService.check` found; no violations means that all sums hold."""

    violations: tuple[str, ...]
    num_accounts: int
    num_transfers: int
    num_open_holds: int

    @property
    def is_ok(self) -> bool:
        return not self.violations


def grant_reference(account_id: str, reference: str) -> str:
    """The reference of a grant, from an operator's own words for it."""
    return f"grant:{account_id}:{reference}"


def refund_reference(job_id: str, reference: str) -> str:
    """The reference of a refund, from an operator's own words for it."""
    return f"refund:{job_id}:{reference}"
