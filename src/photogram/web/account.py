"""The pages of an account: balance and use, past requests, keys, webhooks.

A session's cookie comes in, and pages of what its key may read go out; without one, the page is a
form to sign in with. What changes anything is done by the pages' script, over the API.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from photogram.accounts.browsers import CUSTOMER, cookie_name, is_secure
from photogram.accounts.models import KeyInfo, Principal, Scope
from photogram.accounts.service import AccountService
from photogram.accounts.sessions import SessionService
from photogram.core import clock
from photogram.core.errors import (
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
)
from photogram.core.ids import is_sane
from photogram.generation.records import JobFilter
from photogram.generation.shelf import Shelf
from photogram.generation.states import OPEN_STATES, JobState
from photogram.ledger.pricing import MICRO_PER_CREDIT
from photogram.ledger.reports import Period, Usage
from photogram.ledger.service import LedgerService
from photogram.web.plot import plot_days
from photogram.web.rendering import Renderer
from photogram.webhooks.service import WebhookService

PER_PAGE: Final = 20

_MAX_PAGE = 10**6
_MAX_CHARACTERS = 200
_FIRST_YEAR, _LAST_YEAR = 1970, 9000
_STATES: dict[str, tuple[JobState, ...]] = {
    "completed": (JobState.SUCCEEDED,),
    "failed": (JobState.FAILED, JobState.CANCELLED),
    "pending": OPEN_STATES,
}

Values = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the pages stand on.

    Attributes:
        public_url: What browsers reach the server under; None: what each called.
    """

    sessions: SessionService
    accounts: AccountService
    ledger: LedgerService
    shelf: Shelf
    webhooks: WebhookService
    public_url: str | None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page, and through which key."""

    principal: Principal
    key: KeyInfo


@dataclass(frozen=True, slots=True)
class DayOfUse:
    """What an account did on a day, with all its keys."""

    day: date
    num_jobs: int = 0
    num_images: int = 0
    settled_micro: int = 0
    refunded_micro: int = 0

    def plus(self, usage: Usage) -> "DayOfUse":
        """The same with what one more key did."""
        return DayOfUse(
            self.day,
            self.num_jobs + usage.num_jobs,
            self.num_images + usage.num_images,
            self.settled_micro + usage.settled_micro,
            self.refunded_micro + usage.refunded_micro,
        )


def create_account_pages(desk: Desk, renderer: Renderer) -> list[BaseRoute]:
    """The routes of all of them."""
    pages = _AccountPages(desk, renderer)
    return [
        Route(path, pages.endpoint(template, scope, collect), methods=["GET"])
        for path, template, scope, collect in (
            ("/account", "account.html", Scope.READ, pages.overview),
            ("/account/history", "history.html", Scope.READ, pages.history),
            ("/account/keys", "keys.html", Scope.KEYS, pages.keys),
            ("/account/webhooks", "webhooks.html", Scope.WEBHOOKS, pages.webhooks),
        )
    ]


class _AccountPages:
    """Collects what each page shows."""

    def __init__(self, desk: Desk, renderer: Renderer) -> None:
        self._desk = desk
        self._renderer = renderer

    def endpoint(
        self, template: str, scope: Scope, collect: Callable[[Request, Visitor], Awaitable[Values]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """A page for whoever is signed in with a key that has the scope."""

        async def show(request: Request) -> Response:
            visitor = await self._visitor(request)
            if visitor is None:
                return self._renderer.page(request, "sign_in.html")
            if scope not in visitor.principal.scopes:
                return self._renderer.page(
                    request, "no_scope.html", 403, visitor=visitor, scope=scope
                )
            values = await collect(request, visitor)
            return self._renderer.page(request, template, 200, visitor=visitor, **values)

        return show

    async def overview(self, request: Request, visitor: Visitor) -> Values:
        """The balance, and what was used by day."""
        ledger, account_id = self._desk.ledger, visitor.principal.account_id
        query, today, problem = request.query_params, clock.now().date(), None
        try:
            period = Period.read(query.get("since") or None, query.get("until") or None, today)
        except InvalidRequestError as error:
            period, problem = Period.read(None, None, today), error.message
        used: dict[date, DayOfUse] = {}
        for usage in await ledger.report_usage(period, account_id):
            used[usage.day] = used.get(usage.day, DayOfUse(usage.day)).plus(usage)
        amounts = {each.day: each.settled_micro / MICRO_PER_CREDIT for each in used.values()}
        return {
            "balance": await ledger.spendable(account_id),
            "period": period,
            "days": sorted(used.values(), key=lambda each: each.day, reverse=True),
            "plot": plot_days(period.since, period.until, amounts, "credits"),
            "problem": problem,
        }

    async def history(self, request: Request, visitor: Visitor) -> Values:
        """Past requests, those that the query asks for."""
        account_id, query = visitor.principal.account_id, request.query_params
        problem, wanted, page = None, JobFilter(), 1
        try:
            wanted, page = _read_filter(query), _read_page(query.get("page", ""))
        except InvalidRequestError as error:
            problem = error.message
        found = await self._desk.shelf.page(
            account_id, wanted, offset=(page - 1) * PER_PAGE, limit=PER_PAGE
        )
        return {
            "found": found,
            "page": page,
            "num_pages": max(-(-found.num_in_all // PER_PAGE), 1),
            "given": {name: value for name, value in query.items() if name != "page" and value},
            "keys": await self._keys_of(account_id),
            "states": tuple(_STATES),
            "problem": problem,
            "now": clock.now(),
        }

    async def keys(self, request: Request, visitor: Visitor) -> Values:  # noqa: ARG002 - as `endpoint` calls all
        """All keys, newest first."""
        keys = await self._keys_of(visitor.principal.account_id)
        return {"keys": keys[::-1], "now": clock.now()}

    async def webhooks(self, request: Request, visitor: Visitor) -> Values:
        """All webhooks, and the deliveries of the one that the query names."""
        account_id, chosen = visitor.principal.account_id, request.query_params.get("webhook_id")
        problem, attempts = None, None
        if chosen is not None:
            try:
                if not is_sane(chosen):
                    raise NotFoundError("there is no webhook of this id")
                attempts = await self._desk.webhooks.log_of_webhook(account_id, chosen)
            except NotFoundError as error:
                problem = error.message
        return {
            "webhooks": (await self._desk.webhooks.list(account_id))[::-1],
            "chosen": chosen,
            "attempts": attempts,
            "problem": problem,
        }

    async def _keys_of(self, account_id: str) -> list[KeyInfo]:
        return await run_in_threadpool(self._desk.accounts.keys_of, account_id)

    async def _visitor(self, request: Request) -> Visitor | None:
        """Who is signed in; a page only reads, so its cookie needs nothing beside it."""
        secure = is_secure(request.url.scheme, self._desk.public_url)
        secret = request.cookies.get(cookie_name(CUSTOMER, secure=secure))
        if not secret:
            return None
        try:
            principal = await self._desk.sessions.resume(secret)
        except AuthenticationError:
            return None
        return Visitor(
            principal, await run_in_threadpool(self._desk.accounts.get_key, principal.key_id)
        )


def _read_filter(query: Mapping[str, str]) -> JobFilter:
    """Which requests a query asks for; what is empty asks for all.

    Raises:
        InvalidRequestError: A field cannot be read; it is named.
    """
    state = query.get("state") or None
    if state is not None and state not in _STATES:
        raise InvalidRequestError(f"state must be one of {', '.join(_STATES)}")
    since, until = _read_day(query, "since"), _read_day(query, "until")
    return JobFilter(
        states=_STATES[state] if state else (),
        key_id=_read_text(query, "key"),
        text=_read_text(query, "text"),
        since=since,
        until=until and until + timedelta(days=1),
    )


def _read_text(query: Mapping[str, str], name: str) -> str | None:
    text = query.get(name, "").strip()
    if len(text) > _MAX_CHARACTERS or not text.isprintable():
        raise InvalidRequestError(
            f"{name} must be printable text of at most {_MAX_CHARACTERS} characters"
        )
    return text or None


def _read_day(query: Mapping[str, str], name: str) -> datetime | None:
    words = query.get(name)
    if not words:
        return None
    try:
        day = date.fromisoformat(words)
    except ValueError:
        day = date.min
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:  # beyond, no database has a day after it
        raise InvalidRequestError(f"{name} must be a day, such as 2026-11-30")
    return datetime.combine(day, time(), UTC)


def _read_page(words: str) -> int:
    if not words:
        return 1
    if words.isascii() and words.isdecimal() and len(words) < 8 and 1 <= int(words) <= _MAX_PAGE:
        return int(words)
    raise InvalidRequestError(f"page must be a whole number from 1 to {_MAX_PAGE}")
