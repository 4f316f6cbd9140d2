"""Delivers messages: what is due in the database goes out over HTTP, what came of it goes back.

A message is claimed before it is sent and closed after it was answered, so a server that dies in
between delivers it again, and none delivers it twice at once. It knows nothing of jobs, nor of what
is told.
"""

import asyncio
import contextlib
import email.utils
import random
import re
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Final

import structlog
from sqlalchemy import Connection

from photogram.core import clock
from photogram.core.errors import StorageError
from photogram.storage.database import Database
from photogram.storage.instants import database_now
from photogram.webhooks import signing
from photogram.webhooks.addresses import AddressError, AddressGuard
from photogram.webhooks.exchange import Answer, ExchangeError, post
from photogram.webhooks.models import TEST, Attempt, Outcome, Parcel
from photogram.webhooks.repository import outbox

DELAYS_S: Final = (
    *(5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600),
    *(10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600),
)
"""Seconds from a failed attempt to the next; the first attempt is made at once."""

MAX_AT_ONCE: Final = 64
MAX_PER_ACCOUNT: Final = 4
ATTEMPT_TIMEOUT_S: Final = 15.0
END_TIMEOUT_S: Final = 1.0

_JITTER = 0.2
_MAX_WANTED_S = 24 * 3600.0
# Much longer than an attempt, so that one that is under way is never made again beside itself.
_CLAIM = timedelta(seconds=ATTEMPT_TIMEOUT_S + 45)
_POLL_S = 5.0
_GONE = 410
_SECONDS = re.compile(r"[0-9]{1,9}")
_LIMITS = (MAX_AT_ONCE, MAX_PER_ACCOUNT)

_log = structlog.get_logger(__name__)


class Courier:
    """Delivers the messages of one database.

    Args:
        database: Where they are.
        guard: Where they may go.
        now: The clock that decides what is due.
        attempt_timeout_s: Seconds that one attempt may take, from the look-up to the answer.
        end_timeout_s: Seconds that attempts under way get when `run` is cancelled.
    """

    def __init__(
        self,
        database: Database,
        guard: AddressGuard,
        *,
        now: Callable[[Connection], datetime] = database_now,
        attempt_timeout_s: float = ATTEMPT_TIMEOUT_S,
        end_timeout_s: float = END_TIMEOUT_S,
    ) -> None:
        self._database = database
        self._guard = guard
        self._tls = ssl.create_default_context()  # trusts whom this machine trusts
        self._now = now
        self._attempt_timeout_s = attempt_timeout_s
        self._end_timeout_s = end_timeout_s
        self._is_awake = asyncio.Event()
        self._under_way: dict[asyncio.Task[None], str] = {}

    def wake(self) -> None:
        """Look for messages now: one was written. To be called on the event loop."""
        self._is_awake.set()

    async def run(self) -> None:
        """Deliver until cancelled; attempts under way then get a moment to end."""
        try:
            while True:
                self._is_awake.clear()
                wait_s = await self._send_what_is_due()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._is_awake.wait()
        finally:
            await self._end()

    async def _send_what_is_due(self) -> float:
        """Begin all attempts that may begin; returns for how many seconds there will be no more."""
        while True:
            busy = Counter(self._under_way.values())
            try:
                claim = await self._database.run(self._claim, busy)
            except StorageError as error:
                _log.warning("no webhook messages were claimed", reason=error.message)
                return _POLL_S
            for parcel in claim.parcels:
                task = asyncio.create_task(self._deliver(parcel))
                self._under_way[task] = parcel.account_id
                task.add_done_callback(self._forget)
            if claim.wait_s > 0:
                return min(claim.wait_s, _POLL_S)

    def _claim(self, connection: Connection, busy: Mapping[str, int]) -> outbox.Claim:
        now = self._now(connection)
        return outbox.claim(connection, now, now + _CLAIM, busy, _LIMITS)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self.wake()  # there is room for another

    async def _end(self) -> None:
        """What does not end in time is attempted again by the next server."""
        tasks = list(self._under_way)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._end_timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _deliver(self, parcel: Parcel) -> None:
        attempt = await self._attempt(parcel)
        outcome, delay = _judge(parcel, attempt)
        _log.info(
            "webhook_attempt",
            message_id=parcel.message_id,
            account=parcel.account_id,
            attempt=parcel.attempt,
            status=attempt.status,
            outcome=outcome,
            ms=round(attempt.duration_s * 1000, 1),
        )
        try:
            await self._database.run(self._record, parcel, attempt, outcome, delay)
        except StorageError as error:
            # It will be made again when the claim ends.
            _log.warning("a webhook attempt was not recorded", reason=error.message)

    def _record(
        self,
        connection: Connection,
        parcel: Parcel,
        attempt: Attempt,
        outcome: Outcome | None,
        delay: timedelta,
    ) -> None:
        outbox.record(connection, parcel, attempt, outcome, self._now(connection) + delay)

    async def _attempt(self, parcel: Parcel) -> Attempt:
        started_at = clock.now()
        started = time.perf_counter()
        answer: Answer | None = None
        reason: str | None = None
        wanted_s = 0.0
        try:
            async with asyncio.timeout(self._attempt_timeout_s):
                given = await self._post(parcel, started_at)
            wanted_s = retry_after_s(given.retry_after, clock.now())
            answer = given
        except AddressError as error:
            reason = f"The URL {error}."
        except ExchangeError as error:
            reason = str(error)
        except TimeoutError:
            reason = f"There was no answer within {self._attempt_timeout_s:g} seconds."
        except Exception:  # noqa: BLE001 - whatever one receiver breaks, the others get theirs
            _log.exception("a webhook attempt failed in the server", message_id=parcel.message_id)
            reason = "The server failed on this attempt."
        duration_s = time.perf_counter() - started
        if answer is None:
            return Attempt(started_at, duration_s, error=reason)
        return Attempt(started_at, duration_s, answer.status, wanted_delay_s=wanted_s)

    async def _post(self, parcel: Parcel, at: datetime) -> Answer:
        target = self._guard.parse(parcel.url)
        addresses = await self._guard.resolve(target)
        body = parcel.payload.encode()
        headers = [
            ("User-Agent", f"Photogram/{version('photogram')}"),
            ("Content-Type", "application/json"),
            *signing.headers_of(parcel.message_id, at, body, parcel.secret),
        ]
        return await post(target, addresses, headers, body, self._tls)


def _judge(parcel: Parcel, attempt: Attempt) -> tuple[Outcome | None, timedelta]:
    """How the message has ended, if it has; else how long to wait for the next attempt."""
    if attempt.is_received:
        return Outcome.DELIVERED, timedelta()
    if attempt.status == _GONE:
        return Outcome.GONE, timedelta()
    if parcel.attempt > len(DELAYS_S) or parcel.event_type == TEST:
        return Outcome.GIVEN_UP, timedelta()
    delay_s = DELAYS_S[parcel.attempt - 1] * random.uniform(1, 1 + _JITTER)  # noqa: S311 - spreads load
    wanted_s = min(attempt.wanted_delay_s, _MAX_WANTED_S)
    return None, timedelta(seconds=max(delay_s, wanted_s))


def retry_after_s(value: str | None, now: datetime) -> float:
    """Seconds that a receiver asks to be left alone for; 0 where it says nothing that is one.

    Source: RFC 9110, 10.2.3: a number of seconds, or a date.
    """
    if value is None:
        return 0.0
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        until = email.utils.parsedate_to_datetime(value)
        return (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds()
    except (ValueError, OverflowError):
        return 0.0
