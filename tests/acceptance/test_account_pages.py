"""The account's pages as people use them: a real browser, and the real API over a fake engine."""

import asyncio
import contextlib
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx
import pytest

from photogram.accounts.models import Rights, Scope
from photogram.bootstrap.app import build_app
from photogram.webhooks.addresses import AddressGuard
from photogram.webhooks.courier import Courier
from tests.browser import CHROMIUM, NO_BROWSER, serious_problems_of_both
from tests.unit.api.serving import Site, open_site, serve

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

EVIL = "<img src=x onerror=document.title='pwned'>"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for the whole file, with two requests that were painted and one that was not."""
    data = tmp_path_factory.mktemp("pages") / "data"
    with open_site(data, webhook_private_addresses=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def url(site: Site) -> Iterator[str]:
    with serve(site, app=build_app(site.services)) as served:
        with httpx.Client(base_url=served, headers=site.headers, timeout=60) as client:
            for prompt in ("a red fox", EVIL):
                assert client.post("/v1/flux-dev", json={"prompt": prompt}).status_code == 200
            site.engine.fail_with = "no paint"
            assert client.post("/v1/flux-dev", json={"prompt": "a hen"}).status_code == 500
            site.engine.fail_with = None
        yield served


@pytest.fixture
def visit(page: "Page", url: str) -> "Callable[..., Page]":
    """Open a page of the account, signed in with a key."""

    def go(token: str, path: str = "/account") -> "Page":
        page.goto(url + path)
        page.get_by_label("Key", exact=True).fill(token)
        page.get_by_label("Key", exact=True).press("Enter")
        page.get_by_role("button", name="Sign out").wait_for()
        return page

    return go


def test_signing_in_and_out(page: "Page", context: "BrowserContext", url: str, site: Site) -> None:
    page.goto(f"{url}/account")
    key = page.get_by_label("Key", exact=True)
    key.fill("phg_live_wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").get_by_text("The API key is not valid").wait_for()
    key.fill(site.key.token)
    key.press("Enter")
    page.get_by_role("heading", name="ann").wait_for()
    assert page.url == f"{url}/account"
    (cookie,) = context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (
        "photogram_session",
        True,
        "Strict",
    )
    secret = site.key.token.rsplit("_", 1)[1]
    assert secret not in page.content() + page.evaluate("JSON.stringify({...localStorage})")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Key", exact=True).wait_for()
    assert context.cookies() == []


def test_the_overview_tells_balance_and_use(visit: "Callable[..., Page]", site: Site) -> None:
    page = visit(site.key.token)
    assert "9.960526" in page.locator(".figures").inner_text()
    row = page.locator("tbody tr").first.inner_text().split()
    assert row[1:] == ["2", "2", "0.039474", "0"]
    assert page.locator(".plot rect").count() == 30
    page.goto(f"{page.url}?since=2026-13-01")
    assert "since must be a day" in page.get_by_role("alert").inner_text()


def test_the_history_is_filtered_and_prompts_stay_text(
    visit: "Callable[..., Page]", site: Site
) -> None:
    page = visit(site.key.token, "/account/history")
    prompts = page.locator(".request .prompt")
    assert prompts.all_inner_texts() == ["a hen", EVIL, "a red fox"]
    assert page.title() == "History · Photogram"
    page.get_by_label("Prompt").fill("ONERROR")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**text=ONERROR**")
    assert prompts.all_inner_texts() == [EVIL]
    page.get_by_role("link", name="All").click()
    page.get_by_label("State").select_option("failed")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**state=failed**")
    assert prompts.all_inner_texts() == ["a hen"]
    assert "no paint" in page.locator(".request").inner_text()
    page.goto(page.url.split("?")[0] + "?since=2020-01-01&until=2020-01-02")
    assert "nothing here that fits" in page.locator(".requests").inner_text()
    page.goto(page.url.split("?")[0] + "?page=x&text=fox")
    assert "page must be a whole number" in page.get_by_role("alert").inner_text()


def test_a_key_is_made_works_and_is_revoked_with_its_sessions(
    visit: "Callable[..., Page]", url: str, site: Site, chromium: object
) -> None:
    page = visit(site.key.token, "/account/keys")
    page.locator("details").evaluate("each => { each.open = true; }")
    page.get_by_label("Name").fill(EVIL)
    page.get_by_label("May spend at most, credits").fill("1.5")
    page.get_by_label("Expires").select_option("in 7 days")
    page.get_by_label("change webhooks").uncheck()
    page.get_by_role("button", name="Make a key").click()
    page.locator("#secret").get_by_text("phg_live_").wait_for()
    token = page.locator("#secret").inner_text()
    page.get_by_role("button", name="Done").click()
    row = page.locator("tbody tr", has_text=EVIL)
    row.wait_for()
    words = row.inner_text()
    assert "generate, keys, read" in words
    assert "1.5 credits" in words
    assert token not in page.content()
    painted = subprocess.run(
        [
            *("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", f"{url}/v1/flux-dev"),
            *("-H", f"x-api-key: {token}", "-d", '{"prompt": "a cat"}'),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert painted.stdout == "200"

    other = page.context.browser.new_context()  # type: ignore[union-attr] # a context of a browser has one
    theirs = other.new_page()
    theirs.goto(f"{url}/account")
    theirs.get_by_label("Key", exact=True).fill(token)
    theirs.get_by_label("Key", exact=True).press("Enter")
    theirs.get_by_role("button", name="Sign out").wait_for()
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    row.get_by_text("revoked").wait_for()
    theirs.reload()
    theirs.get_by_label("Key", exact=True).wait_for()
    other.close()


def test_a_key_is_rotated(visit: "Callable[..., Page]", site: Site) -> None:
    old = site.services.accounts.create_key("ann", name="to rotate")
    page = visit(old.token, "/account/keys")
    own = page.locator("tbody tr", has_text=old.key_id).first
    own.get_by_role("button", name="Rotate").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    page.locator("#secret").get_by_text("phg_live_").wait_for()
    page.get_by_role("button", name="Done").click()
    page.locator("tbody tr", has_text="to rotate").nth(1).wait_for()
    assert "signed in" in page.locator("tbody tr", has_text=old.key_id).last.inner_text()


class Receiver(BaseHTTPRequestHandler):
    """Takes every message."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def running_courier(site: Site) -> Iterator[None]:
    """Deliver messages meanwhile, on another thread."""
    loop = asyncio.new_event_loop()
    courier = Courier(site.services.database, AddressGuard(may_be_private=True))
    task = loop.create_task(courier.run())

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


def test_a_webhook_is_added_gets_a_message_and_is_switched_off_and_on(
    visit: "Callable[..., Page]", site: Site, receiver: str
) -> None:
    page = visit(site.key.token, "/account/webhooks")
    page.get_by_label("Address").fill(receiver)
    page.get_by_role("button", name="Add", exact=True).click()
    page.locator("#secret").get_by_text("whsec_").wait_for()
    page.get_by_role("button", name="Done").click()
    row = page.locator("tbody tr", has_text=receiver)
    row.get_by_role("button", name="Send a test").click()
    deliveries = page.locator("#deliveries")
    deliveries.wait_for()
    with running_courier(site):
        while "204" not in deliveries.inner_text():
            page.reload()
    assert "webhook.test" in deliveries.inner_text()
    row.get_by_role("button", name="Switch off").click()
    row.get_by_role("button", name="Switch on").click()
    row.get_by_role("button", name="Switch off").wait_for()


def test_a_key_without_the_scope_is_told_so(visit: "Callable[..., Page]", site: Site) -> None:
    rights = Rights(scopes=frozenset({Scope.GENERATE}))
    key = site.services.accounts.create_key("ann", rights=rights)
    page = visit(key.token)
    assert "needs a key with the scope read" in page.locator("main").inner_text()


def test_another_origin_gets_nothing_with_the_cookie(
    visit: "Callable[..., Page]", url: str, site: Site
) -> None:
    """Another port of the same host is the same site: cookies go there, and are refused."""
    page = visit(site.key.token)
    num_keys = len(site.services.accounts.list_keys())
    with serve(site) as foreign:
        stranger = page.context.new_page()
        stranger.goto(f"{foreign}/healthz")
        for mode in ("cors", "no-cors"):
            told = stranger.evaluate(
                "([url, mode]) => fetch(url, {method: 'POST', mode, credentials: 'include',"
                " body: '{}'}).then((answer) => answer.status, () => 'refused')",
                [f"{url}/v1/keys", mode],
            )
            assert told in ("refused", 401, 0)  # 0: an answer that no script may see
    assert len(site.services.accounts.list_keys()) == num_keys


def test_nothing_serious_keeps_people_from_using_the_pages(
    visit: "Callable[..., Page]", url: str, site: Site, axe: str
) -> None:
    page = visit(site.key.token)
    found = []
    for path in ("/account", "/account/history", "/account/keys", "/account/webhooks"):
        page.goto(url + path)
        for summary in page.locator("details:not([open]) > summary").all():
            summary.click()
        found += serious_problems_of_both(page, axe)
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Key", exact=True).wait_for()
    assert found + serious_problems_of_both(page, axe) == []
