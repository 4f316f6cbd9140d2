"""The playground as people use it: a real browser, the real command and its embedded checkpoint."""

import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from PIL import Image, ImageChops, ImageStat

from tests.acceptance.server import Server, run_command
from tests.browser import CHROMIUM, NO_BROWSER, serious_problems

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page

LONG = {"steps": "50", "samples": "4"}
"""Settings that take some seconds here, so that something can happen meanwhile."""

WATCH = """() => {
  const seen = (window.seen = { words: [], shares: [], previews: new Set() });
  new MutationObserver(() => {
    const job = document.querySelector(".job");
    if (!job) return;
    seen.words.push(job.querySelector(".job-state").textContent);
    seen.shares.push(job.querySelector("progress")?.value);
    for (const image of job.querySelectorAll("img")) seen.previews.add(image.src);
  }).observe(document.getElementById("jobs"), { subtree: true, childList: true, attributes: true });
}"""
"""Keeps what is shown of a job, however short."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("playground")).start()
    yield server
    if server.process.poll() is None:
        server.stop()


@pytest.fixture
def visitor(page: "Page", server: Server) -> "Page":
    """Signed in, before the page."""
    page.goto(server.url)
    sign_in(page, server.key)
    return page


def sign_in(page: "Page", key: str) -> None:
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("API key").fill(key)
    page.get_by_label("API key").press("Enter")
    page.get_by_role("button", name="Sign out").wait_for()
    settle(page)


def settle(page: "Page") -> None:
    """Wait until what was painted before is there."""
    page.locator("#key-dialog").wait_for(state="hidden")
    page.locator("#pictures[aria-busy=false]").wait_for(state="attached")


def fill(page: "Page", prompt: str, **settings: str) -> None:
    page.get_by_label("Prompt", exact=True).fill(prompt)
    for name, value in settings.items():
        page.locator(f"#{name}").fill(value)


def paint(page: "Page", prompt: str, **settings: str) -> "Locator":
    """Ask for a picture and wait for its card, the newest."""
    before = cards(page).count()
    fill(page, prompt, **settings)
    page.get_by_role("button", name="Paint").click()
    return newest_after(page, before)


def newest_after(page: "Page", before: int) -> "Locator":
    page.locator(f"#pictures > li:nth-child({before + 1})").wait_for()
    return cards(page).first


def cards(page: "Page") -> "Locator":
    return page.locator("#pictures > li")


def file_of(card: "Locator") -> bytes:
    return httpx.get(card.locator("img").get_attribute("src")).content


def is_under_way(page: "Page") -> "Locator":
    """The job that is being painted, some steps in."""
    job = page.locator(".job", has_text="Painting")
    job.wait_for()
    return job


def test_a_wrong_key_is_told_in_place(page: "Page", server: Server) -> None:
    page.goto(server.url)
    page.get_by_role("button", name="Paint").click()
    page.get_by_label("API key").fill("phg_live_wrong")
    page.get_by_label("API key").press("Enter")
    problem = page.locator("#key-problem")
    problem.wait_for()
    assert "key" in problem.inner_text()
    assert page.get_by_role("dialog").is_visible()


def test_a_prompt_becomes_a_picture_while_one_watches(visitor: "Page", server: Server) -> None:
    fill(visitor, "a red apple", **LONG)
    visitor.locator("#price", has_text=".").wait_for()
    price = float(visitor.locator("#price").inner_text())
    credits_before = float(server.balance())
    visitor.evaluate(WATCH)
    visitor.keyboard.press("Control+Enter")
    card = newest_after(visitor, 3)
    assert "Painting: step 49 of 50" in visitor.evaluate("seen.words")
    shares = visitor.evaluate("seen.shares")
    assert shares == sorted(shares)
    previews = visitor.evaluate("[...seen.previews]")
    assert len(previews) > 1
    assert all(each.startswith("data:image/jpeg;base64,") for each in previews)
    assert price == pytest.approx(float(server.balance()) * -1 + credits_before)
    assert f"{price / 4:.4f} credits" in card.inner_text()
    with Image.open(io.BytesIO(file_of(card))) as picture:
        assert (picture.format, picture.size) == ("WEBP", (256, 256))
    visitor.locator(".job").wait_for(state="detached")
    assert visitor.locator("#announcer").inner_text() == "4 pictures finished"


def test_every_wrong_field_says_what_is_wrong_with_it(visitor: "Page") -> None:
    fill(visitor, "a fox", steps="51", seed="-2")
    problem = visitor.locator("#steps-problem")
    problem.wait_for()
    assert "from 1 to 50" in problem.inner_text()
    assert "from -1" in visitor.locator("#seed-problem").inner_text()
    assert visitor.locator("#steps").get_attribute("aria-invalid") == "true"
    visitor.locator("#steps").fill("5")
    problem.wait_for(state="hidden")


def test_escape_cancels_and_nothing_is_billed(visitor: "Page", server: Server) -> None:
    before = server.balance()
    fill(visitor, "a blue car", **LONG)
    visitor.keyboard.press("Control+Enter")
    is_under_way(visitor)
    visitor.keyboard.press("Escape")
    visitor.locator(".job").wait_for(state="detached")
    assert server.balance() == before


def test_a_picture_can_be_painted_again_and_varied(visitor: "Page") -> None:
    card = paint(visitor, "a yellow lemon", steps="8", seed="77", guidance="5")
    first = file_of(card)
    fill(visitor, "something else", steps="20", seed="1", guidance="2")
    card.get_by_role("button").click()
    visitor.get_by_role("button", name="Reuse the settings").click()
    assert visitor.get_by_label("Prompt", exact=True).input_value() == "a yellow lemon"
    values = [visitor.locator(f"#{name}").input_value() for name in ("steps", "seed", "guidance")]
    assert values == ["8", "77", "5"]
    again = paint(visitor, "a yellow lemon")
    assert file_of(again) == first
    before = cards(visitor).count()
    again.get_by_role("button").click()
    visitor.get_by_role("button", name="Vary the seed").click()
    assert file_of(newest_after(visitor, before)) != first
    assert visitor.locator("#seed").input_value() != "77"


@pytest.mark.parametrize(("name", "kind"), [("WebP", "WEBP"), ("JPEG", "JPEG"), ("PNG", "PNG")])
def test_a_picture_is_downloaded_in_every_format(
    visitor: "Page", tmp_path: Path, name: str, kind: str
) -> None:
    cards(visitor).first.get_by_role("button").click()
    with visitor.expect_download() as download:
        visitor.get_by_role("link", name=name, exact=True).click()
    assert re.fullmatch(r"flux-dev-\d+\.(webp|jpg|png)", download.value.suggested_filename)
    download.value.save_as(tmp_path / "picture")
    with Image.open(tmp_path / "picture") as picture:
        assert picture.format == kind


def test_two_pictures_are_compared(visitor: "Page") -> None:
    paint(visitor, "a red fox", steps="4", seed="1")
    paint(visitor, "a red fox", steps="4", seed="2")
    for card in cards(visitor).all()[:2]:
        card.hover()
        card.get_by_role("checkbox").check()
    visitor.get_by_role("button", name="Compare two").click()
    facts = visitor.locator("#compare-facts").inner_text().split()
    assert facts[:3] == ["Seed", "2", "1"]
    assert "Steps" not in facts  # only what differs is told
    slider = visitor.get_by_role("slider", name="How much")
    slider.press("End")
    assert slider.input_value() == "100"
    clip = visitor.locator("#compare-left").evaluate("each => getComputedStyle(each).clipPath")
    assert clip in ("inset(0px)", "inset(0px 0% 0px 0px)", "inset(0px calc(0% + 0px) 0px 0px)")


def test_a_picture_begins_from_another_and_only_the_masked_part_changes(visitor: "Page") -> None:
    card = paint(visitor, "a red apple", steps="20", seed="46588")
    before = file_of(card)
    card.get_by_role("button").click()
    visitor.get_by_role("button", name="Begin from it").click()
    visitor.locator("#prompt_strength").fill("0.9")
    visitor.locator("#source-steps", has_text="18 of 20 steps run").wait_for()
    whole = file_of(paint(visitor, "a blue car"))
    visitor.locator("#source-mask").evaluate("each => each.scrollIntoView({ block: 'center' })")
    box = visitor.locator("#source-mask").bounding_box()
    assert box is not None
    visitor.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.5)
    visitor.mouse.down()
    visitor.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5)
    visitor.mouse.up()
    part = file_of(paint(visitor, "a blue car"))
    assert 0 < change(before, part) < change(before, whole) / 2


def change(before: bytes, after: bytes) -> float:
    """How much two pictures differ, 0-255."""
    with Image.open(io.BytesIO(before)) as old, Image.open(io.BytesIO(after)) as new:
        return ImageStat.Stat(ImageChops.difference(old, new).convert("L")).mean[0]


def test_a_prompt_is_text_and_never_markup(visitor: "Page") -> None:
    prompt = "<img src=x onerror=\"document.title='taken'\"> <b>'\"&lt;"
    card = paint(visitor, prompt, steps="1")
    assert prompt in card.inner_text()
    card.get_by_role("button").click()
    assert visitor.locator("#picture-prompt").inner_text() == prompt
    assert visitor.title() == "Playground · Photogram"
    assert visitor.locator("img[src='x'], main b, dialog b").count() == 0


def test_too_few_credits_are_told_before_and_after(page: "Page", server: Server) -> None:
    made = run_command(
        "keys", "create", "--account", "poor", "--json", "--data", str(server.data)
    ).stdout
    key = re.search(r"phg_live_\w+", made)
    assert key is not None
    page.goto(server.url)
    sign_in(page, key[0])
    page.get_by_text("The account has too few credits for this.").wait_for()
    fill(page, "a cat")
    page.keyboard.press("Control+Enter")
    page.locator("#problem", has_text="balance").wait_for()
    assert "credits" in page.locator("#problem").inner_text()


def test_another_tab_shows_the_same(
    visitor: "Page", context: "BrowserContext", server: Server
) -> None:
    other = context.new_page()
    other.goto(server.url)
    settle(other)
    before = cards(other).count()
    fill(visitor, "a green frog", **LONG)
    visitor.keyboard.press("Control+Enter")
    is_under_way(other)
    newest_after(other, before + 3)
    newest_after(visitor, before + 3)
    ours, theirs = (
        page.locator("#pictures img").evaluate_all("all => all.map(each => each.src)")[:4]
        for page in (visitor, other)
    )
    assert ours == theirs


def test_a_reload_goes_on_where_it_was(visitor: "Page", server: Server) -> None:
    before = cards(visitor).count()
    fill(visitor, "a purple butterfly", **LONG)
    visitor.keyboard.press("Control+Enter")
    is_under_way(visitor)
    visitor.reload()
    settle(visitor)
    job = is_under_way(visitor)
    assert "a purple butterfly" in job.inner_text()
    newest_after(visitor, before + 3)


def test_a_restart_of_the_server_goes_on_where_it_was(visitor: "Page", server: Server) -> None:
    before = cards(visitor).count()
    fill(visitor, "an orange cat", **LONG)
    visitor.keyboard.press("Control+Enter")
    is_under_way(visitor)
    server.kill()
    visitor.locator(".job", has_text="The connection is lost").wait_for()
    server.start()
    newest_after(visitor, before + 3)
    assert "an orange cat" in cards(visitor).first.inner_text()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_nothing_keeps_people_from_using_it(visitor: "Page", axe: str, colours: str) -> None:
    visitor.emulate_media(color_scheme=colours)
    cards(visitor).first.wait_for()
    visitor.get_by_text("More settings").click()
    assert serious_problems(visitor, axe) == []
    cards(visitor).first.get_by_role("button").click()
    assert serious_problems(visitor, axe) == []
    visitor.keyboard.press("Escape")
    visitor.get_by_role("button", name="Code").click()
    assert serious_problems(visitor, axe) == []


def test_it_fits_a_phone(visitor: "Page") -> None:
    visitor.set_viewport_size({"width": 360, "height": 740})
    paint(visitor, "a panda", steps="2")
    assert visitor.evaluate("document.documentElement.scrollWidth") == 360


def test_colours_can_be_chosen_and_are_kept(page: "Page", server: Server) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(server.url)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    button = page.get_by_role("button", name="Colours")
    button.click()
    assert page.evaluate(ground) == light
    button.click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark


class TestCode:
    """What the page shows as code is run as it is, with a key in place of its gap."""

    def code(self, visitor: "Page", server: Server, language: str) -> str:
        fill(visitor, 'it\'s a "red" apple\n$HOME `ls` ü 🍎', steps="3", seed="9")
        visitor.get_by_role("button", name="Code").click()
        visitor.get_by_role("tab", name=language).click()
        return visitor.locator("#code").inner_text().replace("YOUR_API_KEY", server.key)

    def check(self, visitor: "Page", file: Path) -> None:
        visitor.keyboard.press("Escape")
        before = cards(visitor).count()
        visitor.get_by_role("button", name="Paint").click()
        mine = file_of(newest_after(visitor, before))
        with Image.open(file) as theirs, Image.open(io.BytesIO(mine)) as ours:
            assert ImageChops.difference(theirs, ours).getbbox() is None

    @pytest.mark.parametrize("sdk", ["segmind", "openai", "requests"])
    def test_python(self, visitor: "Page", server: Server, tmp_path: Path, sdk: str) -> None:
        code = self.code(visitor, server, sdk)
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
        self.check(visitor, tmp_path / "picture.webp")

    def test_curl(self, visitor: "Page", server: Server, tmp_path: Path) -> None:
        code = self.code(visitor, server, "curl")
        subprocess.run(["/bin/bash", "-c", code], cwd=tmp_path, check=True, timeout=60)
        self.check(visitor, tmp_path / "picture.webp")

    def test_javascript(self, visitor: "Page", server: Server, tmp_path: Path, axios: Path) -> None:
        node = shutil.which("node")
        assert node is not None
        (tmp_path / "code.cjs").write_text(self.code(visitor, server, "axios"))
        env = {"NODE_PATH": str(axios)}
        subprocess.run([node, "code.cjs"], cwd=tmp_path, check=True, timeout=60, env=env)
        self.check(visitor, tmp_path / "picture.webp")
