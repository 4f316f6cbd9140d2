"""What the parts of this package tell each other and their callers; no SQL, no HTTP."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

JOB_COMPLETED = "job.completed"
JOB_FAILED = "job.failed"
TEST = "webhook.test"
ALL_EVENTS = "*"

_SYNONYMS = {"PIXELFLOW": frozenset({JOB_COMPLETED, JOB_FAILED})}
"""What the hosted service calls its events about runs, for callers who subscribe as they do there."""

TOLD_EVENTS = (JOB_COMPLETED, JOB_FAILED, ALL_EVENTS, *_SYNONYMS)
"""Words to subscribe with that lead to messages."""


def is_subscribed(words: tuple[str, ...], event_type: str) -> bool:
    """Whether a subscription to these words covers an event."""
    return any(
        word in (event_type, ALL_EVENTS) or event_type in _SYNONYMS.get(word, ()) for word in words
    )


class Outcome(StrEnum):
    """How a message ended."""

    DELIVERED = "delivered"  # the receiver answered 2xx
    GONE = "gone"  # the receiver answered 410: nothing more may be sent there
    GIVEN_UP = "given_up"  # no attempt of all that may be made was answered 2xx
    SWITCHED_OFF = "switched_off"  # its webhook was, before it was delivered


@dataclass(frozen=True, slots=True)
class Announcement:
    """Something that an account is to be told.

    Attributes:
        job_id: None where it is about no job.
        payload: JSON text, sent as it is.
        url: Where the request itself wants to be told; it was checked when it was admitted.
        secret: What messages to `url` are signed with; None leaves them unsigned.
    """

    account_id: str
    job_id: str | None
    event_type: str
    payload: str
    url: str | None = None
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Webhook:
    """An account's standing order."""

    id: str
    url: str
    event_types: tuple[str, ...]
    created_at: datetime
    is_active: bool


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A webhook that was just made: the only time its secret is told."""

    webhook: Webhook
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message that is this server's to deliver, for one attempt.

    Attributes:
        attempt: Counts from 1, and was counted before the attempt.
        webhook_id: None where the request itself named the address.
    """

    message_id: str
    attempt: int
    account_id: str
    webhook_id: str | None
    event_type: str
    url: str
    payload: str
    secret: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt: a status, or a sentence that says why there is none.

    Attributes:
        wanted_delay_s: Seconds that the receiver wants to be left alone for.
    """

    started_at: datetime
    duration_s: float
    status: int | None = None
    error: str | None = None
    wanted_delay_s: float = 0.0

    @property
    def is_received(self) -> bool:
        """Whether the receiver has it."""
        return _means_received(self.status)


@dataclass(frozen=True, slots=True)
class LoggedAttempt:
    """One line of the log of deliveries."""

    message_id: str
    job_id: str | None
    event_type: str
    attempt: int
    started_at: datetime
    duration_s: float
    status: int | None
    error: str | None

    @property
    def is_received(self) -> bool:
        """Whether the receiver had it then."""
        return _means_received(self.status)


def _means_received(status: int | None) -> bool:
    """Any other answer than 2xx, a redirect too, is a failure."""
    return status is not None and 200 <= status < 300
