"""The operators' page: a real browser, and the real admin API over a fake engine."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from photogram.accounts.models import NewOperatorKey
from photogram.accounts.operators import OperatorService
from photogram.api.admin.app import create_admin_app
from photogram.bootstrap.app import build_operator_pages
from tests.browser import CHROMIUM, NO_BROWSER, serious_problems_of_both
from tests.unit.api.serving import Site, open_site, serve

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("operators") / "data") as opened:
        yield opened


@pytest.fixture(scope="module")
def operators(site: Site) -> OperatorService:
    return OperatorService(site.services.database, site.services.folder.pepper())


@pytest.fixture(scope="module")
def operator(operators: OperatorService) -> NewOperatorKey:
    return operators.create_key("eve", actor="cli")


@pytest.fixture(scope="module")
def url(site: Site, operators: OperatorService) -> Iterator[str]:
    pages = build_operator_pages(site.services, operators)
    with serve(site, app=create_admin_app(site.services, operators, pages)) as served:
        yield served


def _sign_in(page: "Page", url: str, token: str) -> None:
    page.goto(url)
    page.get_by_label("Key", exact=True).fill(token)
    page.get_by_label("Key", exact=True).press("Enter")


def test_only_operators_get_in_and_out_again(
    page: "Page", context: "BrowserContext", url: str, site: Site, operator: NewOperatorKey
) -> None:
    _sign_in(page, url, site.key.token)
    page.get_by_role("alert").get_by_text("this is no operator's key").wait_for()
    _sign_in(page, url, operator.token)
    page.get_by_role("heading", name="Queue").wait_for()
    (cookie,) = context.cookies()
    assert (cookie["name"], cookie["httpOnly"]) == ("photogram_operator", True)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Key", exact=True).wait_for()
    assert context.cookies() == []


def test_it_shows_the_engine_accounts_and_failures_and_grants_credits(
    page: "Page", url: str, site: Site, operator: NewOperatorKey
) -> None:
    site.engine.steps_run["painted"] = 4
    _sign_in(page, url, operator.token)
    live = page.locator("#live")
    live.get_by_text("Nobody waits.").wait_for()
    words = live.inner_text()
    for shown in (
        "fake",
        "loaded",
        "Last step",
        "each of 4",
        "of at most 256",
        "ann",
        "admin_key.create",
    ):
        assert shown in words
    page.get_by_role("textbox", name="Account").fill("ann")
    page.get_by_role("textbox", name="Credits").fill("2.5")
    page.get_by_label("Reference").fill("invoice-1")
    page.get_by_role("button", name="Grant").click()
    page.get_by_text("ann has 12.5 credits.").wait_for()
    live.get_by_role("cell", name="12.5").wait_for()
    page.get_by_role("textbox", name="Account").fill("nobody")
    page.get_by_role("button", name="Grant").click()
    page.get_by_role("alert").get_by_text("there is no account 'nobody'").wait_for()


def test_what_fails_appears_by_itself(
    page: "Page", url: str, site: Site, operator: NewOperatorKey
) -> None:
    _sign_in(page, url, operator.token)
    page.get_by_role("heading", name="Queue").wait_for()
    site.engine.fail_with = "<i>no paint</i>"
    with serve(site) as api:
        answer = httpx.post(f"{api}/v1/flux-dev", json={"prompt": "x"}, headers=site.headers)
    assert answer.status_code == 500
    page.locator("#live").get_by_text("<i>no paint</i>").wait_for()


def test_a_revoked_operator_is_out(page: "Page", url: str, operators: OperatorService) -> None:
    key = operators.create_key("mal", actor="cli")
    _sign_in(page, url, key.token)
    page.get_by_role("heading", name="Queue").wait_for()
    operators.revoke_key(key.key_id, actor="cli")
    page.get_by_label("Key", exact=True).wait_for()


def test_nothing_serious_keeps_people_from_using_the_page(
    page: "Page", url: str, operator: NewOperatorKey, axe: str
) -> None:
    _sign_in(page, url, operator.token)
    page.get_by_role("heading", name="Queue").wait_for()
    assert serious_problems_of_both(page, axe) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
