import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photogram.core.messages import GenerateJob, ModelInfo, Source

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
    assert MODEL.in_precision("nf4").with_step_cache(0.1).slug == "m-nf4-cache"
    assert MODEL.with_step_cache(0.0) == MODEL
    for exact in ("auto", "bfloat16", "float32"):
        assert MODEL.in_precision(exact) == MODEL


@pytest.mark.parametrize(
    ("first_step", "num_run", "preview_steps"),
    [(None, 6, {2, 4}), (0, 6, {2, 4}), (4, 2, {1}), (5, 1, set()), (6, 0, set())],
)
def test_a_source_leaves_out_steps_and_the_previews_of_those_that_run_are_spread(
    first_step: int | None, num_run: int, preview_steps: set[int]
) -> None:
    job = GenerateJob(
        job_id="", tenant="", prompt="", width=64, height=64, num_steps=6, guidance=1.0, seeds=(0,),
        num_previews=2,
        source=None if first_step is None else Source(image=b"", first_step=first_step),
    )  # fmt: skip
    assert job.num_steps_run == num_run
    assert job.preview_steps == preview_steps


FLUX = ModelInfo(
    slug="f",
    name="F",
    aspect_ratios={"1:1": (1024, 1024)},
    size_multiple=16,
    max_text_tokens=512,
    has_guidance=True,
)


@pytest.mark.parametrize(
    ("given_size", "megapixels", "size"),
    [
        ((1024, 1024), "1", (1024, 1024)),
        ((16, 16), "1", (1024, 1024)),
        ((1344, 768), "1", (1344, 768)),
        ((4032, 3024), "1", (1168, 880)),
        ((3024, 4032), "1", (880, 1168)),
        ((6000, 4000), "0.25", (624, 416)),
        ((4000, 1000), "1", (2048, 512)),
        ((10**6, 1), "1", (4096 * 16, 16)),
    ],
)
def test_a_picture_of_another_size_keeps_its_shape(
    given_size: tuple[int, int], megapixels: str, size: tuple[int, int]
) -> None:
    assert FLUX.size_like(*given_size, megapixels) == size


@given(st.integers(1, 8192), st.integers(1, 8192), st.sampled_from(["1", "0.25"]))
def test_no_picture_is_larger_than_the_square_or_far_from_its_shape(
    width: int, height: int, megapixels: str
) -> None:
    wide, tall = FLUX.size_like(width, height, megapixels)
    most = math.prod(FLUX.size("1:1", megapixels))
    assert wide % 16 == tall % 16 == 0
    assert 0 < wide * tall <= most
    if max(width, height) <= 4 * min(width, height):
        assert wide * tall >= 0.9 * most
        assert abs(math.log(wide * height / (tall * width))) < 0.05
