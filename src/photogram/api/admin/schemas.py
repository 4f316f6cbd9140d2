"""What operators ask for and are answered, beside keys and usage (`api.key_schemas`)."""

import json
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from photogram.api.answers import as_credits
from photogram.api.key_schemas import Credits, KeyBody
from photogram.ledger.entries import LedgerReport
from photogram.ledger.reports import AccountSummary
from photogram.storage.journal import Entry

_MAX_CHARACTERS = 200


def _check_printable(words: str) -> str:
    if not words.isprintable():
        raise ValueError("must be printable text")
    return words


Words = Annotated[
    str, Field(min_length=1, max_length=_MAX_CHARACTERS), AfterValidator(_check_printable)
]
"""What goes into the books as it is."""


class AccountBody(BaseModel):
    """An account that is to be there."""

    model_config = ConfigDict(extra="forbid")

    name: str


class NewKeyBody(KeyBody):
    """A key that is to be made; its account is made if there is none."""

    account: str


class GrantBody(BaseModel):
    """Credits for an account."""

    model_config = ConfigDict(extra="forbid")

    account: str
    credits: Credits
    reference: Words = Field(
        description="Such as an invoice's number: again, it gives nothing more."
    )
    is_free: bool = Field(False, description="Not paid for; spent first.")
    reason: Words | None = None


class RefundBody(BaseModel):
    """Credits that a job has cost, given back."""

    model_config = ConfigDict(extra="forbid")

    job: str
    reference: Words
    reason: Words
    credits: Credits | None = Field(None, description="Left out: all that it has cost.")


class AccountAnswer(BaseModel):
    """An account and its credits."""

    account_id: str
    account: str
    created_at: datetime
    credits: float = Field(description="What it may spend, free credits among it.")
    free_credits: float
    held_credits: float = Field(description="What its open jobs hold on top.")

    @classmethod
    def of(cls, summary: AccountSummary) -> Self:
        """As it may be shown."""
        return cls(
            account_id=summary.account_id,
            account=summary.name,
            created_at=summary.created_at,
            credits=as_credits(summary.available_micro),
            free_credits=as_credits(summary.free_micro),
            held_credits=as_credits(summary.held_micro),
        )


class AccountsAnswer(BaseModel):
    """Accounts by name; the last one's name, as `after`, asks for the next."""

    accounts: list[AccountAnswer]


class AccountMadeAnswer(BaseModel):
    """An account that is there."""

    account_id: str
    account: str


class GrantAnswer(BaseModel):
    """What an account may spend after a grant."""

    account: str
    credits: float


class RefundAnswer(BaseModel):
    """What a refund has given back."""

    job: str
    refunded: float


class LedgerAnswer(BaseModel):
    """Whether all sums hold."""

    is_ok: bool
    violations: list[str]
    num_accounts: int
    num_transfers: int
    num_open_holds: int

    @classmethod
    def of(cls, report: LedgerReport) -> Self:
        """What a check found."""
        return cls(
            is_ok=report.is_ok,
            violations=list(report.violations),
            num_accounts=report.num_accounts,
            num_transfers=report.num_transfers,
            num_open_holds=report.num_open_holds,
        )


class EntryAnswer(BaseModel):
    """One change."""

    id: str
    created_at: datetime
    actor: str
    action: str
    subject: str
    details: dict[str, Any]

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """As it was written."""
        return cls(
            id=entry.id,
            created_at=entry.created_at,
            actor=entry.actor,
            action=entry.action,
            subject=entry.subject,
            details=json.loads(entry.details),
        )


class AuditAnswer(BaseModel):
    """Changes, the newest first; the last one's id, as `before`, asks for older ones."""

    entries: list[EntryAnswer]
