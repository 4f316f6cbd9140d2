"""OpenAI's own SDK, as it is: only the host that it calls is another."""

import base64
import io
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import openai
import pytest
import structlog
from openai import AsyncOpenAI, OpenAI
from openai.types import (
    ImageEditCompletedEvent,
    ImageEditPartialImageEvent,
    ImageGenPartialImageEvent,
)
from PIL import Image

from photogram.engine.fake import FakeEngine
from tests.acceptance.server import wait_until
from tests.unit.api.serving import Site, open_site, serve

PROMPT = "a red fox"
ALL = Decimal(10).scaleb(6)


def client_at(url: str, key: str, *, max_retries: int = 0, timeout: float = 60) -> OpenAI:
    return OpenAI(api_key=key, base_url=f"{url}/v1", max_retries=max_retries, timeout=timeout)


@pytest.fixture
def client(url: str, site: Site) -> Iterator[OpenAI]:
    with client_at(url, site.key.token) as opened:
        yield opened


def opened(b64_json: str | None) -> Image.Image:
    assert b64_json is not None
    return Image.open(io.BytesIO(base64.b64decode(b64_json)))


def photo(colour: tuple[int, ...] = (9, 9, 9), size: tuple[int, int] = (96, 72)) -> io.BytesIO:
    """A file as a client opens it."""
    file = io.BytesIO()
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(file, "PNG")
    file.seek(0)
    file.name = "photo.png"
    return file


class TestEdit:
    def test_the_smallest_call_follows_the_image(self, client: OpenAI, site: Site) -> None:
        answer = client.images.edit(image=photo(), prompt=PROMPT)
        assert answer.data is not None
        assert opened(answer.data[0].b64_json).size == (64, 48)
        assert (answer.size, answer.output_format, answer.quality) == ("64x48", "png", "medium")
        (job,) = site.engine.submitted
        assert job.source is not None
        assert (job.num_steps, job.source.first_step, job.source.mask) == (25, 5, None)
        assert site.balance_micro() == ALL - 16_112  # 20 steps

    def test_every_parameter_reaches_the_engine(self, client: OpenAI, site: Site) -> None:
        answer = client.images.edit(
            image=[photo()],
            mask=photo((0, 0, 0, 0)),
            prompt=PROMPT,
            model="flux-dev",
            n=2,
            size="96x48",
            quality="low",
            output_format="webp",
            output_compression=50,
            background="opaque",
            response_format="url",
            extra_body={"seed": 7, "guidance": 2.5, "prompt_strength": 1},
        )
        assert [httpx.get(str(image.url)).status_code for image in answer.data or ()] == [200, 200]
        assert (answer.size, answer.quality) == ("96x48", "low")
        (job,) = site.engine.submitted
        assert (job.width, job.height, job.num_steps, job.guidance) == (96, 48, 10, 2.5)
        assert (job.seeds, job.image_format, job.quality) == ((7, 8), "webp", 50)
        assert job.source is not None
        assert job.source.first_step == 0
        assert job.source.mask is not None
        mask = Image.open(io.BytesIO(job.source.mask))
        assert (mask.mode, mask.getpixel((0, 0))) == ("L", 255)

    def test_a_stream_tells_of_an_edit(self, client: OpenAI) -> None:
        stream = client.images.edit(image=photo(), prompt=PROMPT, stream=True, partial_images=2)
        events = list(stream)
        assert [type(event) for event in events] == [
            *(ImageEditPartialImageEvent, ImageEditPartialImageEvent, ImageEditCompletedEvent)
        ]
        assert events[-1].size == "64x48"
        assert opened(events[-1].b64_json).size == (64, 48)


class TestGenerate:
    def test_the_smallest_call_gives_a_png_of_the_models_size(
        self, client: OpenAI, site: Site
    ) -> None:
        answer = client.images.generate(prompt=PROMPT)
        assert answer.data is not None
        (image,) = answer.data
        assert opened(image.b64_json).format == "PNG"
        assert (answer.size, answer.output_format, answer.quality) == ("64x64", "png", "medium")
        assert answer.background == "opaque"
        assert answer.created > 1_700_000_000
        assert answer.usage is not None
        assert answer.usage.input_tokens == 4
        assert answer.usage.output_tokens == 16
        assert answer.usage.total_tokens == 20
        assert site.balance_micro() == ALL - 19_737

    def test_every_parameter_reaches_the_engine(self, client: OpenAI, site: Site) -> None:
        answer = client.images.generate(
            prompt=PROMPT,
            model="flux-dev",
            n=2,
            size="96x48",
            quality="low",
            output_format="webp",
            output_compression=50,
            background="auto",
            response_format="b64_json",
            extra_body={"seed": 7, "guidance": 2.5},
        )
        assert [opened(image.b64_json).format for image in answer.data or ()] == ["WEBP", "WEBP"]
        assert (answer.size, answer.quality) == ("96x48", "low")
        (job,) = site.engine.submitted
        assert (job.width, job.height, job.num_steps, job.guidance) == (96, 48, 10, 2.5)
        assert (job.seeds, job.image_format, job.quality) == ((7, 8), "webp", 50)

    def test_the_headers_tell_what_its_json_has_no_word_for(
        self, client: OpenAI, site: Site
    ) -> None:
        answer = client.images.with_raw_response.generate(
            prompt=PROMPT, user="ann", extra_body={"seed": 7, "steps": 3}
        )
        assert answer.headers["x-seed-value"] == "7"
        assert answer.headers["x-steps-executed"] == "3"
        assert answer.headers["x-ignored-parameters"] == "user"
        assert answer.headers["x-cost"] == "0.003786"
        left = Decimal(answer.headers["x-remaining-credits"]).scaleb(6)
        assert left == site.balance_micro() == ALL - 3786

    def test_its_picture_is_that_of_our_own_route(self, client: OpenAI, url: str) -> None:
        theirs = client.images.generate(
            prompt=PROMPT, output_format="webp", output_compression=80, extra_body={"seed": 46588}
        )
        ours = httpx.post(
            f"{url}/v1/flux-dev", json={"prompt": PROMPT}, headers=client.auth_headers
        )
        assert theirs.data is not None
        assert base64.b64decode(theirs.data[0].b64_json or "") == ours.content

    def test_addresses_of_the_pictures_instead_of_them(self, client: OpenAI, site: Site) -> None:
        """The same request answers with both, and a replay with the same addresses."""
        wanted = {"seed": 7}
        inside = client.images.generate(prompt=PROMPT, n=2, extra_body=wanted)
        same = {"Idempotency-Key": "k"}
        for _ in range(2):
            answer = client.images.generate(
                prompt=PROMPT, n=2, response_format="url", extra_body=wanted, extra_headers=same
            )
            for picture, other in zip(answer.data or (), inside.data or (), strict=True):
                assert picture.b64_json is None
                assert picture.url is not None
                file = httpx.get(picture.url)
                assert file.headers["content-type"] == "image/png"
                assert file.content == base64.b64decode(other.b64_json or "")
            assert answer.usage == inside.usage
        assert len(site.engine.submitted) == 2

    def test_two_calls_give_two_pictures(self, client: OpenAI, site: Site) -> None:
        client.images.generate(prompt=PROMPT)
        client.images.generate(prompt=PROMPT)
        first, second = site.engine.submitted
        assert first.seeds != second.seeds

    async def test_the_async_client(self, url: str, site: Site) -> None:
        async with AsyncOpenAI(api_key=site.key.token, base_url=f"{url}/v1") as client:
            answer = await client.images.generate(prompt=PROMPT, n=4)
        assert len(answer.data or ()) == 4


class TestStream:
    def test_each_picture_is_an_event(self, client: OpenAI, site: Site) -> None:
        with client.images.generate(
            prompt=PROMPT, n=2, stream=True, user="ann", extra_body={"seed": 7}
        ) as stream:
            events = list(stream)
        assert [event.type for event in events] == ["image_generation.completed"] * 2
        assert [opened(event.b64_json).size for event in events] == [(64, 64)] * 2
        assert events[0].b64_json != events[1].b64_json
        assert (events[0].size, events[0].quality) == ("64x64", "medium")
        assert events[0].usage.total_tokens == 20
        assert stream.response.headers["x-seed-value"] == "7"
        assert stream.response.headers["x-ignored-parameters"] == "user"
        assert site.balance_micro() == ALL - 2 * 19_737

    @pytest.mark.parametrize("wanted", [0, 1, 3])
    def test_partial_images_come_before_the_picture_and_cost_nothing(
        self, client: OpenAI, site: Site, wanted: int
    ) -> None:
        with client.images.generate(prompt=PROMPT, stream=True, partial_images=wanted) as stream:
            *partial, completed = list(stream)
        assert completed.type == "image_generation.completed"
        assert [event.partial_image_index for event in partial] == list(range(wanted))
        for event in partial:
            assert isinstance(event, ImageGenPartialImageEvent)
            ImageGenPartialImageEvent.model_validate(event.model_dump(), strict=True)
            assert event.type == "image_generation.partial_image"
            assert opened(event.b64_json).format == event.output_format.upper()
            assert opened(event.b64_json).size < opened(completed.b64_json).size
            assert (event.size, event.quality) == (completed.size, completed.quality)
            assert event.created_at > 1_700_000_000
        assert site.balance_micro() == ALL - 19_737

    def test_of_several_pictures_the_first_has_partial_images(self, client: OpenAI) -> None:
        with client.images.generate(prompt=PROMPT, n=2, stream=True, partial_images=2) as stream:
            types = [event.type.removeprefix("image_generation.") for event in stream]
        assert types == ["partial_image"] * 2 + ["completed"] * 2

    def test_without_a_stream_none_are_drawn(self, client: OpenAI, site: Site) -> None:
        client.images.generate(prompt=PROMPT, partial_images=3)
        (job,) = site.engine.submitted
        assert job.num_previews == 0

    async def test_the_async_client(self, url: str, site: Site) -> None:
        async with AsyncOpenAI(api_key=site.key.token, base_url=f"{url}/v1") as client:
            stream = await client.images.generate(prompt=PROMPT, stream=True)
            types = [event.type async for event in stream]
        assert types == ["image_generation.completed"]

    def test_a_failure_is_raised_and_not_billed(self, tmp_path: Path) -> None:
        engine = FakeEngine(fail_with="the model failed on this request; it was not billed")
        with open_site(tmp_path / "failing", engine) as site, serve(site) as url:
            with (
                client_at(url, site.key.token) as client,
                pytest.raises(openai.APIError, match="the model failed") as failed,
            ):
                list(client.images.generate(prompt=PROMPT, stream=True))
            assert (failed.value.code, failed.value.type) == ("inference_failed", "server_error")
            assert site.balance_micro() == ALL

    def test_a_stream_that_is_left_is_not_billed(self, tmp_path: Path) -> None:
        engine = FakeEngine(step_s=0.2)
        with open_site(tmp_path / "slow", engine) as site, serve(site) as url:
            with client_at(url, site.key.token) as client:
                long = {"steps": 50}
                client.images.generate(prompt=PROMPT, stream=True, extra_body=long).close()
                while site.engine.num_jobs:
                    time.sleep(0.01)
                client.images.generate(prompt=PROMPT, extra_body={"steps": 1})
            assert max(engine.steps_run.values()) < 50
            assert site.balance_micro() == ALL - 2336


class TestModels:
    def test_the_list_names_the_servers_model(self, client: OpenAI) -> None:
        (model,) = client.models.list()
        assert (model.id, model.object, model.owned_by) == ("fake", "model", "photogram")
        assert model.created > 1_700_000_000
        assert {"64x64", "96x48", "32x32"} <= set(model.sizes)  # type: ignore[attr-defined]

    @pytest.mark.parametrize("name", ["fake", "flux-dev"])
    def test_one_is_found_by_its_names(self, client: OpenAI, name: str) -> None:
        assert client.models.retrieve(name).id == "fake"

    def test_others_are_not_here(self, client: OpenAI) -> None:
        with pytest.raises(openai.NotFoundError) as failed:
            client.models.retrieve("gpt-image-2")
        assert failed.value.code == "model_not_found"


class TestErrors:
    @pytest.mark.parametrize(
        ("parameters", "param", "words"),
        [
            ({"prompt": ""}, "prompt", ["prompt", "1", "10000"]),
            ({"n": 5}, "n", ["n must", "1", "4"]),
            ({"size": "1024x1024"}, "size", ["auto", "64x64", "96x48"]),
            ({"quality": "max"}, "quality", ["low", "medium", "high"]),
            ({"partial_images": 4}, "partial_images", ["0", "3"]),
            ({"output_format": "gif"}, "output_format", ["png", "jpeg", "webp"]),
            ({"response_format": "file"}, "response_format", ["b64_json", "url"]),
            ({"response_format": "url", "stream": True}, "response_format", ["b64_json"]),
            ({"background": "transparent"}, "background", ["opaque"]),
            ({"extra_body": {"seed": -2}}, "seed", ["-1"]),
            ({"extra_body": {"image": "x"}}, "image", ["not supported"]),
        ],
    )
    def test_a_wrong_parameter_is_named_with_what_is_allowed(
        self,
        client: OpenAI,
        site: Site,
        parameters: dict[str, object],
        param: str,
        words: list[str],
    ) -> None:
        with pytest.raises(openai.BadRequestError) as failed:
            client.images.generate(**({"prompt": PROMPT} | parameters))  # type: ignore[call-overload]
        error = failed.value
        assert (error.status_code, error.code, error.param) == (400, "invalid_request", param)
        assert error.type == "invalid_request_error"
        for word in words:
            assert word in str(error)
        assert error.request_id
        assert site.engine.submitted == []

    def test_another_model_is_not_here(self, client: OpenAI) -> None:
        with pytest.raises(openai.NotFoundError, match="fake") as failed:
            client.images.generate(prompt=PROMPT, model="gpt-image-2")
        assert failed.value.code == "model_not_found"

    def test_a_bad_key(self, url: str) -> None:
        with (
            client_at(url, "sk-0123") as client,
            pytest.raises(openai.AuthenticationError) as failed,
        ):
            client.images.generate(prompt=PROMPT)
        assert (failed.value.code, failed.value.type) == ("invalid_api_key", "authentication_error")

    def test_too_few_credits_are_told_once_and_not_tried_again(self, tmp_path: Path) -> None:
        with open_site(tmp_path / "poor", granted="0.01") as site, serve(site) as url:
            with (
                client_at(url, site.key.token, max_retries=5) as client,
                pytest.raises(openai.APIStatusError, match=r"0\.019737") as failed,
            ):
                client.images.generate(prompt=PROMPT, extra_body={"guidance": 3.5})
            error = failed.value
            assert (error.status_code, error.type) == (406, "insufficient_quota")
            assert error.code == "insufficient_credits"

    def test_a_server_that_loads(self, tmp_path: Path) -> None:
        engine = FakeEngine(is_ready=False)
        with (
            open_site(tmp_path / "loading", engine) as site,
            serve(site) as url,
            client_at(url, site.key.token) as client,
            pytest.raises(openai.InternalServerError) as failed,
        ):
            client.images.generate(prompt=PROMPT)
        assert (failed.value.status_code, failed.value.code) == (503, "model_loading")
        assert int(failed.value.response.headers["retry-after"]) >= 1

    def test_a_model_that_fails(self, tmp_path: Path) -> None:
        engine = FakeEngine(fail_with="the model failed on this request; it was not billed")
        with (
            open_site(tmp_path / "failing", engine) as site,
            serve(site) as url,
            client_at(url, site.key.token) as client,
            pytest.raises(openai.InternalServerError) as failed,
        ):
            client.images.generate(prompt=PROMPT)
        assert (failed.value.status_code, failed.value.code) == (500, "inference_failed")

    def test_too_many_at_once(self, tmp_path: Path) -> None:
        engine = FakeEngine(step_s=0.2)
        with (
            open_site(tmp_path / "busy", engine, jobs_per_account=1) as site,
            serve(site) as url,
            client_at(url, site.key.token) as client,
            client.images.generate(prompt=PROMPT, stream=True),
            pytest.raises(openai.RateLimitError) as failed,
        ):
            client.images.generate(prompt=PROMPT)
        assert (failed.value.code, failed.value.type) == ("rate_limited", "rate_limit_error")
        assert int(failed.value.response.headers["retry-after"]) >= 1

    def test_too_many_in_a_minute(self, tmp_path: Path) -> None:
        with (
            open_site(tmp_path / "limited", requests_per_minute=1) as site,
            serve(site) as url,
            client_at(url, site.key.token) as client,
        ):
            client.images.generate(prompt=PROMPT)
            with pytest.raises(openai.RateLimitError, match="1 requests a minute") as failed:
                client.images.generate(prompt=PROMPT)
        assert failed.value.code == "rate_limited"
        assert 1 <= int(failed.value.response.headers["retry-after"]) <= 60

    def test_variations_are_refused_by_name(self, client: OpenAI, site: Site) -> None:
        photo = ("photo.png", bytes(3_000_000), "image/png")
        with (
            pytest.raises(openai.BadRequestError, match="no variations") as failed,
            pytest.warns(DeprecationWarning, match="deprecated"),
        ):
            client.images.create_variation(image=photo)
        assert failed.value.code == "image_input_not_supported"
        client.images.generate(prompt=PROMPT)
        assert len(site.engine.submitted) == 1

    def test_a_mask_without_a_hole(self, client: OpenAI) -> None:
        with pytest.raises(openai.BadRequestError, match="alpha channel") as failed:
            client.images.edit(image=photo(), mask=photo(), prompt=PROMPT)
        assert failed.value.param == "mask"


class TestPatience:
    def test_a_timeout_is_not_billed(self, tmp_path: Path) -> None:
        engine = FakeEngine(step_s=0.1)
        with open_site(tmp_path / "slow", engine) as site, serve(site) as url:
            with (
                client_at(url, site.key.token, timeout=0.5) as client,
                pytest.raises(openai.APITimeoutError),
            ):
                client.images.generate(prompt=PROMPT)
            assert wait_until(lambda: not engine.num_jobs and site.balance_micro() == ALL, 30)
            assert site.services.ledger.check().is_ok

    def test_a_retry_waits_as_long_as_it_is_told(self, tmp_path: Path) -> None:
        with (
            open_site(tmp_path / "limited", requests_per_minute=12) as site,
            serve(site) as url,
            client_at(url, site.key.token, max_retries=5) as client,
            structlog.testing.capture_logs() as logged,
        ):
            for _ in range(13):
                client.images.generate(prompt=PROMPT, extra_body={"steps": 1})
        statuses = [line["status"] for line in logged if line["event"] == "request"]
        assert (statuses.count(200), statuses.count(429)) == (13, 1)

    def test_a_retry_waits_for_a_server_that_loads(self, tmp_path: Path) -> None:
        engine = FakeEngine(is_ready=False)
        with (
            open_site(tmp_path / "loading", engine) as site,
            serve(site) as url,
            client_at(url, site.key.token, max_retries=5) as client,
        ):
            loading = threading.Timer(0.5, setattr, (engine, "is_ready", True))
            loading.start()
            answer = client.images.generate(prompt=PROMPT)
            loading.join()
            assert len(answer.data or ()) == 1
            assert site.balance_micro() == ALL - 19_737
