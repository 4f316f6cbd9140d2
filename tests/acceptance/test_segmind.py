"""The vendor's own SDKs, as they are: only the host that they call is another."""

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from segmind import SegmindClient, SegmindError
from segmindapi.T2I import T2I

from photogram.engine.fake import FakeEngine
from tests.unit.api.serving import Site, open_site, serve

VENDOR = {"api.segmind.com", "api.spotprod.segmind.com", "cloud.segmind.com"}


class ToOtherHost(httpx.HTTPTransport):
    """Sends what is meant for the vendor to a server of ours."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._to = httpx.URL(url)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host in VENDOR
        request.url = request.url.copy_with(
            scheme=self._to.scheme, host=self._to.host, port=self._to.port
        )
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
