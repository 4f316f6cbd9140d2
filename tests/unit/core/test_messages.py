import pytest

from photogram.core.messages import ModelInfo

MODEL = ModelInfo(
    slug="m",
    name="M",
    aspect_ratios={"1:1": (256, 256), "21:9": (384, 160)},
    size_multiple=32,
    max_text_tokens=32,
    has_guidance=True,
)


@pytest.mark.parametrize(
    ("ratio", "megapixels", "size"),
    [
        ("1:1", "1", (256, 256)),
        ("1:1", "0.25", (128, 128)),
        ("21:9", "1", (384, 160)),
        ("21:9", "0.25", (192, 64)),
    ],
)
def test_quarter_size_halves_both_sides_to_the_multiple(
    ratio: str, megapixels: str, size: tuple[int, int]
) -> None:
    assert MODEL.size(ratio, megapixels) == size


def test_an_approximate_precision_is_in_the_models_name() -> None:
    assert MODEL.in_precision("float8_e4m3fn").slug == "m-fp8"
    for exact in ("auto", "bfloat16", "float32"):
        assert MODEL.in_precision(exact) == MODEL
