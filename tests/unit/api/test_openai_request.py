import msgspec
import pytest

from photogram.api.openai_request import read_openai_request, sizes_of
from photogram.core.errors import InvalidRequestError, NotFoundError
from photogram.engine.fake import FAKE_MODEL
from tests.unit.generation.catalogues import FAST_MODEL, catalogue_of

PROMPT: dict[str, object] = {"prompt": "a red fox"}


def test_sizes_are_the_models_native_ones_and_their_halves() -> None:
    sizes = sizes_of(FAKE_MODEL)
    assert next(iter(sizes)) == "64x64"
    assert sizes["96x48"] == ("16:9", "1")
    assert sizes["32x32"] == ("1:1", "0.25")
    for size, (ratio, megapixels) in sizes.items():
        assert "{}x{}".format(*FAKE_MODEL.size(ratio, megapixels)) == size


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ({}, 25),
        ({"quality": "auto"}, 25),
        ({"quality": "standard"}, 25),
        ({"quality": "low"}, 10),
        ({"quality": "hd"}, 50),
        ({"quality": "high", "steps": 3}, 3),
        ({"quality": None, "steps": None}, 25),
    ],
)
def test_quality_stands_for_steps(given: dict[str, object], steps: int) -> None:
    asked = read_openai_request(PROMPT | given, catalogue_of(), is_strict=False)
    assert asked.wanted.steps == steps


@pytest.mark.parametrize(("quality", "steps"), [("low", 2), ("medium", 4), ("high", 12)])
def test_quality_stands_for_the_models_own_steps(quality: str, steps: int) -> None:
    catalogue = catalogue_of(FAKE_MODEL, FAST_MODEL)
    fields = PROMPT | {"model": "fast", "quality": quality}
    asked = read_openai_request(fields, catalogue, is_strict=False)
    assert (asked.model.slug, asked.wanted.steps) == ("fast", steps)


def test_a_quarter_size_is_a_quarter_of_the_pixels() -> None:
    asked = read_openai_request(PROMPT | {"size": "32x32"}, catalogue_of(), is_strict=False)
    assert (asked.wanted.megapixels, asked.size) == ("0.25", "32x32")


def test_what_has_no_effect_is_listed_or_refused() -> None:
    model = msgspec.structs.replace(FAKE_MODEL, has_guidance=False)
    fields = PROMPT | {"user": "ann", "aspect_ratio": "16:9", "guidance": 1}
    asked = read_openai_request(fields, catalogue_of(model), is_strict=False)
    assert asked.wanted.ignored == ("user", "aspect_ratio", "guidance")
    assert asked.wanted.aspect_ratio == "1:1"
    with pytest.raises(InvalidRequestError) as refused:
        read_openai_request(fields, catalogue_of(model), is_strict=True)
    assert [each.field for each in refused.value.details] == list(asked.wanted.ignored)


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read_openai_request({"n": 0, "size": "1x1", "stream": "x"}, catalogue_of(), is_strict=False)
    assert [each.field for each in refused.value.details] == ["prompt", "n", "size", "stream"]


@pytest.mark.parametrize("model", ["dall-e-3", "", 5, ["fake"]])
def test_another_model_is_not_found(model: object) -> None:
    with pytest.raises(NotFoundError, match="this server has flux-dev, fake"):
        read_openai_request(PROMPT | {"model": model}, catalogue_of(), is_strict=False)


def test_each_request_without_a_seed_draws_its_own() -> None:
    seeds = {
        read_openai_request(PROMPT, catalogue_of(), is_strict=False).wanted.seed for _ in range(8)
    }
    assert len(seeds) == 8
