"""A browser for tests of pages: Debian's Chromium without a window, and what watches over its pages.

On a machine without one, tests of pages are left out and say so.
"""

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NO_BROWSER = (
    "there is no browser to show pages in; after `apt-get install chromium`, "
    "`.venv/bin/python -m pytest -k 'playground or pages'` runs what was left out"
)
SERIOUS = {"serious", "critical"}
PATIENCE_MS = 90_000


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    """One browser for the tests of a file."""
    if CHROMIUM is None:
        pytest.skip(NO_BROWSER)
    from playwright.sync_api import sync_playwright  # other tests need not wait for it

    # Its own sandbox does not work for root, who runs the tests in a container.
    words = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=words)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: "Browser") -> "Iterator[BrowserContext]":
    """A visitor; whatever his pages do, nothing in them may break or be refused by their policy."""
    problems: list[str] = []
    context = chromium.new_context(accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    context.on("weberror", lambda error: problems.append(str(error.error)))
    context.on(
        "console",
        lambda message: (
            problems.append(message.text) if "Content Security Policy" in message.text else None
        ),
    )
    yield context
    context.close()
    assert problems == []


@pytest.fixture
def page(context: "BrowserContext") -> "Page":
    """His first page."""
    return context.new_page()


def serious_problems(page: "Page", axe: str) -> list[str]:
    """What axe finds on a page that keeps people from using it."""
    page.evaluate(axe)
    found = page.evaluate("axe.run()")
    return [
        f"{each['id']}: {node['html']} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


def serious_problems_of_both(page: "Page", axe: str) -> list[str]:
    """The same, in light and in dark."""
    page.emulate_media(color_scheme="light")
    found = [f"light: {each}" for each in serious_problems(page, axe)]
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {each}" for each in serious_problems(page, axe)]
    return found
