"""Every form of the answer: the same pictures, headers and bill, whatever they are packed in."""

import base64
import email.parser
import email.policy
import io
import time
import zipfile
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
import structlog

from photogram.engine.fake import FakeEngine
from tests.unit.api.events import parse_events
from tests.unit.api.serving import PROMPT, Site, assert_error, client_of, open_site, serve

URL = "/v1/flux-dev"
WISH = PROMPT | {"samples": 3, "seed": 5, "steps": 2, "output_format": "png", "width": 1}
FORMS = ["application/json", "multipart/mixed", "application/zip", "text/event-stream"]
EARLY = {
    "x-seed-value": "5",
    "x-model": "fake",
    "x-output-metadata": '{"width": 64, "height": 64, "format": "png"}',
    "x-ignored-parameters": "width",
}
LATE = {
    "x-cost": "0.009184",
    "x-steps-executed": "2",
    "x-prompt-tokens": "4",
    "x-prompt-truncated": "false",
}


def unpack(answer: httpx.Response) -> list[bytes]:
    """The pictures in an answer of any form."""
    kind = answer.headers["content-type"].partition(";")[0]
    match kind:
        case "application/json":
            return [base64.b64decode(image["image"]) for image in answer.json()["images"]]
        case "application/zip":
            with zipfile.ZipFile(io.BytesIO(answer.content)) as opened:
                return [opened.read(name) for name in opened.namelist()]
        case "multipart/mixed":
            head = f"content-type: {answer.headers['content-type']}\r\n\r\n".encode()
            parser = email.parser.BytesParser(policy=email.policy.HTTP)
            message = parser.parsebytes(head + answer.content)
            return [part.get_content() for part in message.iter_parts()]  # type: ignore[attr-defined]
        case "text/event-stream":
            events = parse_events(answer.text)
            return [base64.b64decode(data["image"]) for name, data in events if name == "image"]
    raise AssertionError(kind)


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_holds_the_same_pictures_at_the_same_price(
    client: httpx.AsyncClient, site: Site, form: str
) -> None:
    answer = await client.post(URL, json=WISH, headers={"accept": form})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(form)
    assert answer.headers.items() >= EARLY.items()
    if form != "text/event-stream":
        assert answer.headers.items() >= LATE.items()
    left = Decimal(10) - Decimal("0.009184")
    assert Decimal(answer.headers["x-remaining-credits"]) == left
    assert site.balance_micro() == left.scaleb(6)
    alone = [
        (await client.post(URL, json=WISH | {"samples": 1, "seed": 5 + index})).content
        for index in range(3)
    ]
    assert unpack(answer) == alone


@pytest.mark.parametrize("form", ["multipart/mixed", "application/zip", "text/event-stream"])
async def test_one_picture_fits_into_every_form(client: httpx.AsyncClient, form: str) -> None:
    answer = await client.post(URL, json=PROMPT, headers={"accept": form})
    assert answer.headers["content-type"].startswith(form)
    assert unpack(answer) == [(await client.post(URL, json=PROMPT)).content]


async def test_files_in_containers_are_named_by_their_seeds(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, json=WISH, headers={"accept": "application/zip"})
    assert answer.headers["content-disposition"] == 'attachment; filename="flux-dev-5.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as opened:
        assert opened.namelist() == ["flux-dev-5.png", "flux-dev-6.png", "flux-dev-7.png"]
    parts = (await client.post(URL, json=WISH, headers={"accept": "multipart/mixed"})).text
    for seed in (5, 6, 7):
        assert f"X-Seed-Value: {seed}\r\n" in parts
        assert f'filename="flux-dev-{seed}.png"' in parts
    assert parts.count("Content-Type: image/png\r\n") == 3


class TestEvents:
    ACCEPT = {"accept": "text/event-stream"}  # noqa: RUF012 - never changed

    async def test_they_tell_the_whole_run(self, client: httpx.AsyncClient) -> None:
        answer = await client.post(URL, json=WISH, headers=self.ACCEPT)
        names, data = zip(*parse_events(answer.text), strict=True)
        assert names == (*("queued", "progress", "progress"), *["image"] * 3, "completed")
        request_id = answer.headers["x-request-id"]
        assert data[0] == {
            "request_id": request_id,
            "status": "QUEUED",
            "seed": 5,
            "cost": 0.009184,
            "queue_position": 0,
        }
        assert data[1:3] == ({"step": 1, "steps": 2}, {"step": 2, "steps": 2})
        assert [image["index"] for image in data[3:6]] == [0, 1, 2]
        assert [image["seed"] for image in data[3:6]] == [5, 6, 7]
        assert {image["content_type"] for image in data[3:6]} == {"image/png"}
        metrics = data[6].pop("metrics")
        assert data[6] == {
            "request_id": request_id,
            "status": "COMPLETED",
            "seed": 5,
            "prompt_tokens": 4,
            "prompt_truncated": False,
            "steps_executed": 2,
        }
        assert metrics["cost"] == 0.009184
        assert str(metrics["remaining_credits"]) == answer.headers["x-remaining-credits"]

    async def test_json_is_forced_by_base64(self, client: httpx.AsyncClient) -> None:
        answer = await client.post(URL, json=PROMPT | {"base64": True}, headers=self.ACCEPT)
        assert answer.headers["content-type"] == "application/json"

    async def test_what_is_refused_before_the_run_has_its_status(
        self, client: httpx.AsyncClient, site: Site
    ) -> None:
        answer = await client.post(URL, json={}, headers=self.ACCEPT)
        assert_error(answer, 400, "invalid_request")
        site.engine.drain()
        answer = await client.post(URL, json=PROMPT, headers=self.ACCEPT)
        assert_error(answer, 503, "draining")

    async def test_a_failure_is_the_last_event_and_not_billed(self, tmp_path: Path) -> None:
        engine = FakeEngine(fail_with="the model failed on this request; it was not billed")
        with open_site(tmp_path / "failing", engine) as site:
            async with client_of(site) as client:
                with structlog.testing.capture_logs() as logged:
                    answer = await client.post(URL, json=PROMPT, headers=self.ACCEPT)
            assert site.balance_micro() == 10_000_000
        name, data = parse_events(answer.text)[-1]
        assert name == "error"
        assert data == {
            "error": "the model failed on this request; it was not billed",
            "code": "inference_failed",
            "request_id": answer.headers["x-request-id"],
            "details": [],
            "status": 500,
        }
        assert [line["code"] for line in logged if line["event"] == "request"] == [
            "inference_failed"
        ]

    async def test_a_deadline_is_the_last_event_and_not_billed(self, tmp_path: Path) -> None:
        with open_site(tmp_path / "slow", FakeEngine(step_s=0.2)) as site:
            async with client_of(site) as client:
                headers = self.ACCEPT | {"prefer": "wait=1"}
                answer = await client.post(URL, json=PROMPT, headers=headers)
            assert site.balance_micro() == 10_000_000
        name, data = parse_events(answer.text)[-1]
        assert (name, data["code"], data["status"]) == ("error", "timeout", 504)

    def test_they_come_while_the_run_goes_on(self, tmp_path: Path) -> None:
        with (
            open_site(tmp_path / "slow", FakeEngine(step_s=0.2)) as site,
            serve(site) as url,
            httpx.stream(
                "POST", f"{url}{URL}", json=PROMPT, headers=site.headers | self.ACCEPT
            ) as answer,
        ):
            chunks = answer.iter_text()
            assert next(chunks).startswith("event: queued\n")
            assert "event: progress\n" in next(chunks)
            assert site.engine.num_jobs == 1
            assert parse_events("".join(chunks))[-1][0] == "completed"

    def test_a_client_that_hangs_up_is_not_billed_and_its_place_is_free(
        self, tmp_path: Path
    ) -> None:
        engine = FakeEngine(step_s=0.2)
        with open_site(tmp_path / "slow", engine, jobs_per_account=1) as site, serve(site) as url:
            long = PROMPT | {"steps": 50}
            with httpx.stream(
                "POST", f"{url}{URL}", json=long, headers=site.headers | self.ACCEPT
            ) as answer:
                chunks = answer.iter_text()
                assert next(chunks).startswith("event: queued\n")
                refused = httpx.post(f"{url}{URL}", json=PROMPT, headers=site.headers)
                assert refused.status_code == 429
            wish = PROMPT | {"steps": 1}
            while httpx.post(f"{url}{URL}", json=wish, headers=site.headers).status_code != 200:
                time.sleep(0.01)
            assert max(engine.steps_run.values()) < 50
            assert site.services.ledger.check().is_ok
            assert site.balance_micro() == 10_000_000 - 2336
