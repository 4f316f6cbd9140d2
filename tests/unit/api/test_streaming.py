import asyncio
import base64
import io
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from PIL import Image
from starlette.types import Message, Scope

from photogram.accounts.models import Principal
from photogram.api.context import context_of, open_context
from photogram.api.picture_events import PictureEvents
from photogram.api.schemas import read_request
from photogram.api.streaming import EventQueue, EventStream, ServerEvent
from photogram.engine.fake import FAKE_MODEL, FakeEngine
from tests.unit.api.events import parse_events
from tests.unit.api.serving import PROMPT, Site, open_site


class HastyStream(EventStream):
    """As the server's own, with less patience."""

    keep_alive_s = 0.01


async def stream(
    site: Site,
    receive: Callable[[], Awaitable[Message]],
    *,
    scope: Scope | None = None,
    fails_after: int | None = None,
    **fields: object,
) -> str:
    """What a client gets of a run of three steps, if not even sending fails after so much."""
    generation = site.services.generation
    wanted = read_request(PROMPT | {"steps": 3} | fields, FAKE_MODEL, is_strict=False)
    order = wanted.order(FAKE_MODEL, None)
    principal = Principal(site.account_id, site.key.key_id)
    words = PictureEvents("r1", 5, site.engine)
    events: EventQueue = asyncio.Queue()
    run = await generation.create(principal, order, events.put_nowait)
    opened = HastyStream(generation, run, events, words, {})
    sent: list[Message] = []

    async def send(message: Message) -> None:
        if fails_after is not None and len(sent) == fails_after:
            raise ConnectionError
        sent.append(message)

    scope = scope or {"type": "http"}
    open_context(scope, "r1")
    try:
        await opened(scope, receive, send)
    finally:
        await generation.close()
    return b"".join(message.get("body", b"") for message in sent).decode()


async def stay() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def leave() -> Message:
    await asyncio.sleep(0.1)
    return {"type": "http.disconnect"}


def assert_nothing_billed(site: Site) -> None:
    assert site.engine.num_jobs == 0
    assert max(site.engine.steps_run.values(), default=0) < 3
    assert site.services.ledger.check().is_ok
    assert site.balance_micro() == 10_000_000


def test_an_event_is_one_line_of_json_whatever_it_holds() -> None:
    event = ServerEvent("image", {"text": "a\nb\r\n\u2028é"})
    assert event.encode().count(b"\n") == 3
    assert parse_events(event.encode().decode()) == [("image", {"text": "a\nb\r\n\u2028é"})]


async def test_a_silent_run_is_kept_alive_by_comments(tmp_path: Path) -> None:
    with open_site(tmp_path / "data", FakeEngine(step_s=0.1)) as site:
        text = await stream(site, stay)
    assert "\n\n: still here\n\n" in text
    names = [name for name, _ in parse_events(text)]
    assert names == ["queued", *["progress"] * 3, "image", "completed"]


async def test_previews_are_progress_with_a_picture(tmp_path: Path) -> None:
    with open_site(tmp_path / "data") as site:
        text = await stream(site, stay, samples=2, previews=1)
    events = parse_events(text)
    shown = [data for name, data in events if name == "progress" and "preview" in data]
    assert [(data["step"], data["steps"], data["index"]) for data in shown] == [
        (1, 3, 0),
        (1, 3, 1),
    ]
    for data in shown:
        assert data["content_type"] == "image/jpeg"
        assert Image.open(io.BytesIO(base64.b64decode(data["preview"]))).format == "JPEG"
    steps = [data["step"] for name, data in events if name == "progress"]
    assert steps == [1, 1, 1, 2, 3]


async def test_no_previews_come_unasked(tmp_path: Path) -> None:
    with open_site(tmp_path / "data") as site:
        text = await stream(site, stay)
    assert "preview" not in text
    assert site.engine.submitted[0].num_previews == 0


async def test_a_client_that_leaves_ends_the_run_before_the_stream_returns(tmp_path: Path) -> None:
    scope: Scope = {"type": "http"}
    with open_site(tmp_path / "data", FakeEngine(step_s=0.2)) as site:
        text = await stream(site, leave, scope=scope)
        assert [name for name, _ in parse_events(text)] == ["queued"]
        assert context_of(scope).error_code == "client_gone"
        assert_nothing_billed(site)


@pytest.mark.parametrize("fails_after", [0, 1, 2])
async def test_a_connection_that_fails_while_it_is_told_ends_the_run(
    tmp_path: Path, fails_after: int
) -> None:
    with open_site(tmp_path / "data", FakeEngine(step_s=0.1)) as site:
        with pytest.raises(ConnectionError):
            await stream(site, stay, fails_after=fails_after)
        assert_nothing_billed(site)
