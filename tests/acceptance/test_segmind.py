"""The vendor's own SDKs, as they are: only the host that they call is another."""

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from segmind import SegmindClient, SegmindError
from segmind.v2 import InferenceFailed, InferenceTimeout
from segmindapi.T2I import T2I

from photogram.engine.fake import FakeEngine
from tests.unit.api.serving import Site, open_site, serve

VENDOR = {
    "api.segmind.com",
    "api.spotprod.segmind.com",
    "cloud.segmind.com",
    "workflows-api.segmind.com",
}


class ToOtherHost(httpx.HTTPTransport):
    """Sends what is meant for the vendor to a server of ours."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._to = httpx.URL(url)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host in {*VENDOR, self._to.host}
        request.url = request.url.copy_with(
            scheme=self._to.scheme, host=self._to.host, port=self._to.port
        )
        request.headers["host"] = self._to.netloc.decode()
        return super().handle_request(request)


@pytest.fixture
def sdk(url: str, site: Site) -> Iterator[SegmindClient]:
    with_key = client_at(url, site.key.token)
    yield with_key
    with_key._client.close()


def client_at(url: str, key: str) -> SegmindClient:
    sdk = SegmindClient(api_key=key)
    made = sdk._client
    made.close()
    sdk._client = httpx.Client(
        headers=made.headers,
        base_url=made.base_url,
        timeout=made.timeout,
        transport=ToOtherHost(url),
    )
    return sdk


def test_run_sync_gives_a_picture(sdk: SegmindClient) -> None:
    answer = sdk.run_sync("flux-dev", prompt="a red fox", steps=2, seed=7)
    assert Image.open(io.BytesIO(answer.content)).format == "WEBP"
    assert answer.headers["x-seed-value"] == "7"
    assert answer.headers["x-remaining-credits"]


def test_run_sync_gives_several_pictures(sdk: SegmindClient) -> None:
    answer = sdk.run_sync("flux-dev", prompt="a red fox", steps=2, samples=2)
    assert [image["seed"] for image in answer.json()["images"]] == [46588, 46589]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, ["prompt"]),
        ({"prompt": "fox", "steps": 51}, ["steps", "1", "50"]),
        ({"prompt": "fox", "output_format": "gif"}, ["output_format", "webp", "jpg", "png"]),
    ],
)
def test_its_error_names_the_field_and_its_limits(
    sdk: SegmindClient, parameters: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(SegmindError) as failed:
        sdk.run_sync("flux-dev", **parameters)
    assert failed.value.status == 400
    for word in words:
        assert word in str(failed.value)


def test_its_error_for_a_bad_key(url: str) -> None:
    sdk = client_at(url, "SG_0123456789abcdef")
    with pytest.raises(SegmindError) as failed:
        sdk.run_sync("flux-dev", prompt="a red fox")
    sdk._client.close()
    assert failed.value.status == 401
    assert "key" in str(failed.value)


def test_its_error_for_no_credits(tmp_path: Path) -> None:
    with open_site(tmp_path / "poor", FakeEngine(), granted="0") as site, serve(site) as url:
        sdk = client_at(url, site.key.token)
        with pytest.raises(SegmindError) as failed:
            sdk.run_sync("flux-dev", prompt="a red fox")
        sdk._client.close()
    assert failed.value.status == 406
    assert "credits" in str(failed.value)


def test_its_error_for_an_unknown_model(sdk: SegmindClient) -> None:
    with pytest.raises(SegmindError) as failed:
        sdk.run_sync("flux-none", prompt="a red fox")
    assert failed.value.status == 404
    assert isinstance(failed.value.detail, str)


def test_its_account_has_the_credits(sdk: SegmindClient, site: Site) -> None:
    assert sdk.accounts.current() == {
        "user_id": site.account_id,
        "key_id": site.key.key_id,
        "credits": {"balance": 10.0},
    }


def test_a_model_of_its_list_can_be_run(sdk: SegmindClient) -> None:
    (models,) = sdk.models.list().values()
    (model,) = models
    assert (model["title"], model["type"]) == ("Fake", "textToImage")
    assert model["parameters"]["required"] == ["prompt"]
    assert sdk.run_sync(model["slug"], prompt="a red fox").status_code == 200


def test_the_old_sdk_gives_a_picture_and_the_credits(
    url: str, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    old = T2I(f"{url}/v1/flux-dev", api_key=site.key.token)
    assert old.generate("a red fox").format == "WEBP"
    assert "9.980263 credits remaining" in capsys.readouterr().out


def test_run_gives_addresses_that_work(sdk: SegmindClient) -> None:
    answer = sdk.run("flux-dev", prompt="a red fox", steps=2, seed=7, samples=2)
    assert (answer["status"], answer["seed"]) == ("COMPLETED", 7)
    assert answer["output"] == answer["images"][0]["url"]
    for image in answer["images"]:
        picture = Image.open(io.BytesIO(httpx.get(image["url"]).content))
        assert (picture.format, picture.size) == ("WEBP", (64, 64))


def test_a_job_is_waited_for(sdk: SegmindClient) -> None:
    job = sdk.submit_async("flux-dev", prompt="a red fox", steps=2)
    assert job.submit_response["status"] == "QUEUED"
    assert job.wait(interval=0.05)["metrics"]["cost"] > 0
    assert job.status()["status"] == "COMPLETED"
    assert job.result()["request_id"] == job.request_id


def test_a_job_that_fails_says_why(tmp_path: Path) -> None:
    engine = FakeEngine(fail_with="the model is out of paint")
    with open_site(tmp_path / "data", engine) as site, serve(site) as url:
        sdk = client_at(url, site.key.token)
        job = sdk.submit_async("flux-dev", prompt="a red fox")
        with pytest.raises(InferenceFailed) as failed:
            job.wait(interval=0.05)
        assert job.result()["code"] == "inference_failed"
        sdk._client.close()
    assert failed.value.detail == "the model is out of paint"
    assert failed.value.status_body["request_id"] == job.request_id


def test_a_job_that_takes_too_long_is_still_there(tmp_path: Path) -> None:
    engine = FakeEngine(step_s=0.5)
    with open_site(tmp_path / "data", engine) as site, serve(site) as url:
        sdk = client_at(url, site.key.token)
        job = sdk.submit_async("flux-dev", prompt="a red fox", steps=4)
        with pytest.raises(InferenceTimeout):
            job.wait(timeout=0.1, interval=0.05)
        assert job.wait(interval=0.1)["status"] == "COMPLETED"
        sdk._client.close()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({}, ["prompt"]), ({"prompt": "fox", "steps": 51, "webhook_url": "x"}, ["steps", "webhook"])],
)
def test_a_wrong_job_is_refused_at_once(
    sdk: SegmindClient, parameters: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(SegmindError) as failed:
        sdk.run("flux-dev", **parameters)
    assert failed.value.status == 400
    for word in words:
        assert word in str(failed.value)


def test_its_generations_are_listed(sdk: SegmindClient, site: Site) -> None:
    done = sdk.run("flux-dev", prompt="a red fox", steps=2, samples=2)
    lists = [
        sdk.generations.recent("flux-dev")["generations"],
        sdk.generations.list(model_name="flux", user_id=site.account_id)["generations"],
        sdk.generations.history(status="COMPLETED", sort_by="credits_deduction")["requests"],
    ]
    for rows in lists:
        assert [row["generation_url"] for row in rows] == [image["url"] for image in done["images"]]
        assert {row["request_id"] for row in rows} == {done["request_id"]}
        assert rows[0]["credits_deduction"] == done["metrics"]["cost"]
        assert rows[0]["parameters"]["prompt"] == rows[0]["prompt"] == "a red fox"
    assert sdk.generations.get(done["request_id"]) == lists[2][0]
    with pytest.raises(SegmindError) as failed:
        sdk.generations.get("another/one")
    assert failed.value.status == 404


def test_a_picture_may_begin_from_a_file_of_its(
    sdk: SegmindClient, site: Site, tmp_path: Path
) -> None:
    file = tmp_path / "fox.png"
    Image.new("RGB", (80, 60), "red").save(file)
    url = sdk.files.upload(file)["file_urls"][0]
    answer = sdk.run_sync("flux-dev", prompt="a red fox", image=url, steps=10, prompt_strength=0.3)
    assert answer.headers["x-steps-executed"] == "3"
    assert Image.open(io.BytesIO(answer.content)).size == (64, 48)
    done = sdk.run("flux-dev", prompt="a red fox", image=url, steps=2)
    assert done["status"] == "COMPLETED"
    for job in site.engine.submitted:
        assert job.source is not None
        with Image.open(io.BytesIO(job.source.image)) as image:
            assert image.getpixel((0, 0)) == (255, 0, 0)


def test_its_files_are_kept(sdk: SegmindClient, tmp_path: Path) -> None:
    files = [tmp_path / "fox.png", tmp_path / "fox.jpg"]
    for file in files:
        Image.new("RGB", (9, 7), "red").save(file)
    answer = sdk.files.upload([*files])
    for file, url in zip(files, answer["file_urls"], strict=True):
        assert httpx.get(url).content == file.read_bytes()
    vector = tmp_path / "fox.svg"
    vector.write_text("<svg/>")
    with pytest.raises(SegmindError) as failed:
        sdk.files.upload(vector)
    assert failed.value.status == 400
    assert "PNG, JPEG or WebP" in str(failed.value)
