import pytest

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
