"""What the library's call takes for a picture to begin from."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from photogram.core.errors import InvalidRequestError
from photogram.pipeline.flux import Pipeline
from tests.tiny import write_checkpoint

PICTURE = Image.linear_gradient("L").resize((64, 32)).convert("RGB")
MASK = Image.linear_gradient("L").resize((64, 32))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    folder = write_checkpoint(tmp_path_factory.mktemp("tiny"))
    return Pipeline.from_pretrained(folder, device="cpu", dtype=torch.float32)


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


def paint(pipeline: Pipeline, **words: Any) -> np.ndarray:
    return np.asarray(pipeline.generate("a cat", **{"steps": 4, "seed": 3} | words))


def test_a_picture_its_bytes_and_its_path_are_the_same(pipeline: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(png(PICTURE))
    first = paint(pipeline, image=PICTURE, mask=MASK)
    for image in (png(PICTURE), path, str(path)):
        assert np.array_equal(paint(pipeline, image=image, mask=png(MASK)), first)
    assert not np.array_equal(paint(pipeline, image=PICTURE), first)


def test_the_shape_follows_the_image_within_the_native_area(pipeline: Pipeline) -> None:
    large = PICTURE.resize((1200, 600))
    assert paint(pipeline, image=large).shape == (48, 80, 3)
    assert paint(pipeline, image=large, width=48, height=64).shape == (64, 48, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "F", "I;16", "YCbCr"])
def test_pictures_of_any_colours_are_taken(pipeline: Pipeline, mode: str) -> None:
    grey = PICTURE.convert("L")
    image = Image.new("I;16", grey.size) if mode == "I;16" else grey.convert(mode)
    assert paint(pipeline, image=image, steps=1, prompt_strength=0).shape == (48, 80, 3)


def test_only_the_strengths_share_of_the_steps_runs(pipeline: Pipeline) -> None:
    for strength, num_run in ((1, 4), (0.8, 4), (0.75, 3), (0.2, 1), (0, 0)):
        steps: list[int] = []
        paint(pipeline, image=PICTURE, prompt_strength=strength, on_step=steps.append)
        assert steps == list(range(1, num_run + 1))


def test_strength_without_an_image_has_no_effect(pipeline: Pipeline) -> None:
    assert np.array_equal(paint(pipeline, prompt_strength=0.1), paint(pipeline))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"mask": MASK}, "mask: .*there is none"),
        ({"image": PICTURE, "mask": MASK.resize((32, 32))}, "mask: is 32x32, .* 64x32"),
        ({"image": b"no picture"}, "image: "),
        ({"image": png(PICTURE)[:-30]}, "image: "),
        ({"image": "/nonexistent/picture.png"}, "image: /nonexistent/picture.png cannot be read"),
        ({"image": PICTURE, "prompt_strength": 1.1}, r"prompt_strength: 1\.1"),
        ({"image": PICTURE, "prompt_strength": float("nan")}, "prompt_strength: nan"),
        ({"image": PICTURE, "width": 50}, "width: 50"),
        ({"image": PICTURE, "steps": 0}, "steps: 0"),
    ],
)
def test_what_does_not_go_together_is_named(
    pipeline: Pipeline, words: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        paint(pipeline, **words)
