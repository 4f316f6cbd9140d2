import re
from decimal import Decimal

import msgspec
import pytest

from photogram.api.schemas import ignored_header, read_request
from photogram.core.errors import InvalidRequestError
from photogram.core.messages import Adapter
from photogram.engine.fake import FAKE_MODEL
from photogram.generation.orders import Order


def test_a_prompt_alone_gets_every_default() -> None:
    request = read_request({"prompt": "a fox"}, FAKE_MODEL, is_strict=False)
    assert request.order(FAKE_MODEL, wait_s=None) == Order(
        prompt="a fox",
        width=64,
        height=64,
        num_steps=25,
        guidance=3.5,
        seed=46588,
        num_images=1,
        image_format="webp",
        quality=80,
        pixel_factor=Decimal(1),
        timeout_s=None,
        model="fake",
    )


def test_every_attribute_reaches_the_order() -> None:
    fields: dict[str, object] = {
        "prompt": "a fox",
        "samples": 4,
        "guidance": 0,
        "steps": 1,
        "prompt_strength": 1,
        "aspect_ratio": "16:9",
        "seed": 0,
        "output_format": "jpeg",
        "output_quality": 0,
        "megapixels": 0.25,
        "base64": True,
        "previews": 10,
        "loras": [{"name": "ink", "scale": "0.5"}, {"name": "clay"}],
    }
    request = read_request(fields, FAKE_MODEL, is_strict=True, adapters=["clay", "ink"])
    assert request.base64 is True
    assert request.output_format == "jpg"
    assert request.order(FAKE_MODEL, wait_s=7) == Order(
        prompt="a fox",
        width=48,
        height=32,
        num_steps=1,
        guidance=0.0,
        seed=0,
        num_images=4,
        image_format="jpeg",
        quality=0,
        pixel_factor=Decimal("0.25"),
        timeout_s=7,
        num_previews=10,
        adapters=(Adapter("ink", 0.5), Adapter("clay", 1.0)),
        model="fake",
    )


def test_null_means_omitted() -> None:
    nothing = dict.fromkeys(["steps", "seed", "image", "loras", "width"])
    request = read_request({"prompt": "a fox", **nothing}, FAKE_MODEL, is_strict=True)
    assert (request.steps, request.seed, request.ignored) == (25, 46588, ())


def test_minus_one_draws_a_seed() -> None:
    fields: dict[str, object] = {"prompt": "a fox", "seed": -1}
    seeds = {read_request(fields, FAKE_MODEL, is_strict=False).seed for _ in range(5)}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_all_wrong_fields_are_told_at_once() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read_request({"steps": 51, "samples": True, "seed": 1}, FAKE_MODEL, is_strict=False)
    assert [detail.field for detail in refused.value.details] == ["prompt", "samples", "steps"]
    for words in ("prompt is missing", "samples must be", "from 1 to 4", "from 1 to 50"):
        assert words in refused.value.message


def test_no_loras_are_no_loras() -> None:
    fields: dict[str, object] = {"prompt": "a fox", "loras": []}
    assert read_request(fields, FAKE_MODEL, is_strict=False)


@pytest.mark.parametrize(
    "value",
    [
        [{"name": "ink", "scale": None}],
        ({"name": "ink", "scale": 1},),
        '[{"name": "ink"}]',
    ],
)
def test_loras_may_be_a_list_or_its_text(value: object) -> None:
    fields: dict[str, object] = {"prompt": "a fox", "loras": value}
    request = read_request(fields, FAKE_MODEL, is_strict=True, adapters=["ink"])
    assert request.loras == (Adapter("ink", 1.0),)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"name": "ink"}, "must be a list of at most 4 objects"),
        ([{"name": "ink"}] * 5, "must be a list of at most 4 objects"),
        ("[{]", "must be a list of at most 4 objects"),
        ("[" * 100_000, "must be a list of at most 4 objects"),
        (["ink"], '"ink" is not one of them'),
        ([{"scale": 1}], "an object is not one of them"),
        ([{"name": "ink", "weight": 1}], "an object is not one of them"),
        ([{"name": 7}], "an object is not one of them"),
        (
            [{"name": "ink", "scale": 2.01}],
            'of "ink", scale must be a number from 0 to 2, got 2.01',
        ),
        ([{"name": "ink", "scale": True}], "scale must be a number from 0 to 2, got true"),
        ('[{"name": "ink", "scale": NaN}]', "scale must be a number from 0 to 2, got NaN"),
        ([{"name": "oil"}], 'loras names "oil", which is not here; there are: clay, ink'),
        ([{"name": "ink"}, {"name": "ink", "scale": 0.1}], 'loras names "ink" twice'),
    ],
)
def test_loras_that_cannot_be_are_refused_with_the_names(value: object, words: str) -> None:
    fields: dict[str, object] = {"prompt": "a fox", "loras": value, "steps": 0}
    with pytest.raises(InvalidRequestError, match=re.escape(words)) as refused:
        read_request(fields, FAKE_MODEL, is_strict=False, adapters=["clay", "ink"])
    assert [detail.field for detail in refused.value.details] == ["steps", "loras"]
    assert refused.value.details[1].allowed == ("clay", "ink")


def test_unknown_fields_are_listed_or_in_strict_handling_refused() -> None:
    fields: dict[str, object] = {"prompt": "a fox", "width": 512, "negative_prompt": "dog"}
    assert read_request(fields, FAKE_MODEL, is_strict=False).ignored == ("width", "negative_prompt")
    with pytest.raises(InvalidRequestError) as refused:
        read_request(fields, FAKE_MODEL, is_strict=True)
    assert [detail.field for detail in refused.value.details] == ["width", "negative_prompt"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_no_field_may_hold_an_infinite_number(number: float) -> None:
    for name in ("guidance", "anything"):
        with pytest.raises(InvalidRequestError) as refused:
            read_request({"prompt": "a fox", name: number}, FAKE_MODEL, is_strict=False)
        assert refused.value.details[0].field == name


def test_a_model_without_guidance_says_that_it_ignores_it() -> None:
    model = msgspec.structs.replace(FAKE_MODEL, has_guidance=False)
    fields: dict[str, object] = {"prompt": "a fox", "guidance": 3}
    assert read_request(fields, model, is_strict=False).ignored == ("guidance",)


def test_names_of_ignored_fields_are_safe() -> None:
    names = ["width", "a\r\nset-cookie: b", "é", "\ud800", "x" * 5000]
    fields: dict[str, object] = {"prompt": "a fox", **dict.fromkeys(names, 1)}
    assert read_request(fields, FAKE_MODEL, is_strict=False).ignored == (
        *("width", "a%0D%0Aset-cookie%3A%20b", "%C3%A9", "%3F", "x" * 100),
    )


def test_the_header_of_ignored_fields_is_short() -> None:
    assert ignored_header(["width", "height"]) == "width, height"
    assert len(ignored_header("y" * 9999)) == 1003


def test_of_many_problems_the_first_are_told() -> None:
    useless: dict[str, object] = {f"{number}{'x' * 200}": 1 for number in range(100)}
    with pytest.raises(InvalidRequestError) as refused:
        read_request({"steps": 0} | useless, FAKE_MODEL, is_strict=True)
    fields = [detail.field for detail in refused.value.details]
    assert fields[:2] == ["prompt", "steps"]
    assert len(fields) == 20
    assert len(refused.value.message) < 5000
