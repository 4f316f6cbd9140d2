"""An account's webhooks, for callers without a transaction: add, change, switch off, test, logs.

It checks what callers give, and makes secrets. It delivers nothing.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Final

from photogram.core import clock
from photogram.core.errors import ErrorDetail, InvalidRequestError
from photogram.storage.database import Database
from photogram.webhooks import signing
from photogram.webhooks.addresses import AddressError, AddressGuard
from photogram.webhooks.models import TEST, LoggedAttempt, NewWebhook, Webhook
from photogram.webhooks.repository import outbox, registered

MAX_EVENT_TYPES: Final = 20

_EVENT_TYPE = re.compile(r"\*|[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class WebhookService:
    """The webhooks of one database.

    Args:
        database: Where they are.
        guard: Where messages may go.
        wake: Called when a message was written.
    """

    def __init__(self, database: Database, guard: AddressGuard, wake: Callable[[], None]) -> None:
        self._database = database
        self._guard = guard
        self._wake = wake

    def check_address(self, url: object, *, field: str = "webhook_url") -> str:
        """An address that messages may be sent to, as far as that can be told without a look-up.

        Args:
            url: What the caller gave.
            field: Where.

        Raises:
            InvalidRequestError: It is none; the one detail names the field.
        """
        if not isinstance(url, str):
            raise _refusal(field, "must be a URL")
        try:
            self._guard.parse(url)
        except AddressError as error:
            raise _refusal(field, str(error)) from None
        return url

    def check_secret(self, secret: object, *, field: str = "webhook_secret") -> str:
        """A secret that messages may be signed with (`signing.key_of`).

        Raises:
            InvalidRequestError: It is none; the one detail names the field.
        """
        if not isinstance(secret, str):
            raise _refusal(field, "must be text")
        try:
            signing.key_of(secret)
        except ValueError as error:
            raise _refusal(field, str(error)) from None
        return secret

    async def add(self, account_id: str, url: object, event_types: object) -> NewWebhook:
        """A new webhook with a secret of its own.

        Raises:
            InvalidRequestError: The address or the events cannot be used, or there are too many.
        """
        checked = self.check_address(url), _read_event_types(event_types)
        secret = signing.new_secret()
        added = await self._database.run(registered.add_webhook, account_id, *checked, secret)
        return NewWebhook(added, secret)

    async def list(self, account_id: str) -> Sequence[Webhook]:
        """All of an account, oldest first; those that are switched off too."""
        return await self._database.run(registered.list_webhooks, account_id, readonly=True)

    async def change(
        self, account_id: str, webhook_id: str, url: object, event_types: object
    ) -> Webhook:
        """Set a webhook's address and events, and switch it on; its secret stays.

        Raises:
            NotFoundError: The account has no such webhook.
            InvalidRequestError: The address or the events cannot be used, or too many are on.
        """
        checked = self.check_address(url), _read_event_types(event_types)
        return await self._database.run(registered.change_webhook, account_id, webhook_id, *checked)

    async def switch_off(self, account_id: str, webhook_id: str) -> Webhook:
        """Send nothing more to it.

        Raises:
            NotFoundError: The account has no such webhook.
        """
        return await self._database.run(registered.switch_off, account_id, webhook_id)

    async def test(self, account_id: str, webhook_id: str) -> str:
        """Send it a message that tells nothing, in a single attempt; returns the message's id.

        Raises:
            NotFoundError: The account has no such webhook.
            ConflictError: It is switched off, or its last test is under way.
        """
        now = clock.now().isoformat(timespec="seconds")
        payload = json.dumps({"type": TEST, "timestamp": now, "data": {"webhook_id": webhook_id}})
        message_id = await self._database.run(outbox.add_test, account_id, webhook_id, payload)
        self._wake()
        return message_id

    async def log_of_webhook(self, account_id: str, webhook_id: str) -> Sequence[LoggedAttempt]:
        """The newest attempts to deliver to a webhook, newest first.

        Raises:
            NotFoundError: The account has no such webhook.
        """
        return await self._database.run(
            registered.log_of_webhook, account_id, webhook_id, readonly=True
        )

    async def log_of_job(self, account_id: str, job_id: str) -> Sequence[LoggedAttempt]:
        """The newest attempts to tell of a job, newest first.

        Raises:
            NotFoundError: Nothing is to be told of such a job of the account.
        """
        return await self._database.run(registered.log_of_job, account_id, job_id, readonly=True)


def _read_event_types(given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or not 0 < len(given) <= MAX_EVENT_TYPES:
        raise _refusal("event.types", f"must be a list of 1 to {MAX_EVENT_TYPES} words")
    for word in given:
        if not isinstance(word, str) or _EVENT_TYPE.fullmatch(word) is None:
            raise _refusal(
                "event.types",
                "must hold words of 1 to 64 ASCII letters, digits and . _ -, or *",
            )
    return tuple(dict.fromkeys(given))


def _refusal(field: str, reason: str) -> InvalidRequestError:
    message = f"{field} {reason}"
    return InvalidRequestError(message, details=[ErrorDetail(field, message)])
