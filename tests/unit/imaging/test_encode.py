import io
import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from photogram.core.messages import ImageFormat
from photogram.imaging.encode import encode
from photogram.imaging.metadata import (
    COMPOSITE_SOURCE_TYPE,
    DIGITAL_SOURCE_TYPE,
    SOFTWARE,
    SOFTWARE_FROM_IMAGE,
    ImageMetadata,
)

FORMATS: list[ImageFormat] = ["webp", "jpeg", "png"]
METADATA = ImageMetadata(model="tiny", seed=2**53, steps=25, guidance=3.5, width=48, height=64)
PROMPTS = [
    'a "quoted" \\ <b>]]></b> &amp; prompt',
    "猫と犬 кошка قطة 🐈‍⬛",
    "line\nbreak\ttab",
    "&" * 10_000,
    "🐈" * 10_000,
    "\ufffe\uffff",
]


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:64, :48]
    return np.stack([rows * 4, columns * 5, rows + columns], axis=-1).astype(np.uint8)


def with_prompt(prompt: str) -> ImageMetadata:
    return ImageMetadata(
        model="tiny", seed=1, steps=1, guidance=0, width=48, height=64, prompt=prompt
    )


def open_image(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("image_format", FORMATS)
def test_file_says_that_it_is_generated_and_from_what(
    pixels: NDArray[np.uint8], image_format: ImageFormat
) -> None:
    data = encode(pixels, image_format, 80, metadata=METADATA)
    image = open_image(data)
    assert image.format == image_format.upper()
    assert image.size == (48, 64)
    exif = image.getexif()
    assert exif[ExifTags.Base.Software] == SOFTWARE
    assert exif[ExifTags.Base.Make] == "Photogram"
    assert exif[ExifTags.Base.Model] == "tiny"
    assert json.loads(exif[ExifTags.Base.ImageDescription]) == {
        "model": "tiny", "seed": 2**53, "steps": 25, "guidance": 3.5, "width": 48, "height": 64
    }  # fmt: skip
    assert DIGITAL_SOURCE_TYPE.encode() in data
    assert b"prompt" not in data


@pytest.mark.parametrize("image_format", FORMATS)
def test_file_of_a_picture_from_a_picture_says_so(
    pixels: NDArray[np.uint8], image_format: ImageFormat
) -> None:
    metadata = replace(METADATA, first_step=5)
    data = encode(pixels, image_format, 80, metadata=metadata)
    exif = open_image(data).getexif()
    assert exif[ExifTags.Base.Software] == SOFTWARE_FROM_IMAGE
    assert json.loads(exif[ExifTags.Base.ImageDescription])["first_step"] == 5
    assert COMPOSITE_SOURCE_TYPE.encode() in data


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("prompt", PROMPTS, ids=range(len(PROMPTS)))
def test_any_prompt_survives(
    pixels: NDArray[np.uint8], image_format: ImageFormat, prompt: str
) -> None:
    image = open_image(encode(pixels, image_format, 80, metadata=with_prompt(prompt)))
    comment = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    assert comment.removeprefix(b"UNICODE\x00").decode("utf-16-be") == prompt
    if image_format == "png":
        assert json.loads(image.info["parameters"])["prompt"] == prompt


@pytest.mark.parametrize("image_format", FORMATS)
def test_same_picture_gives_the_same_bytes(
    pixels: NDArray[np.uint8], image_format: ImageFormat
) -> None:
    first, second = (encode(pixels, image_format, 80, metadata=METADATA) for _ in range(2))
    assert first == second


def test_png_is_lossless(pixels: NDArray[np.uint8]) -> None:
    data = encode(pixels, "png", 0, metadata=METADATA)
    assert np.array_equal(np.asarray(open_image(data)), pixels)


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("quality", [90, 100])
def test_pure_noise_is_written_at_high_quality(image_format: ImageFormat, quality: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    image = open_image(encode(noise, image_format, quality, metadata=METADATA))
    assert image.size == (256, 256)


@pytest.mark.parametrize("image_format", ["webp", "jpeg"])
def test_quality_moves_size_and_error(pixels: NDArray[np.uint8], image_format: ImageFormat) -> None:
    noisy = pixels ^ np.random.default_rng(0).integers(0, 32, pixels.shape, dtype=np.uint8)
    files = [encode(noisy, image_format, quality, metadata=METADATA) for quality in (0, 50, 100)]
    errors = [np.abs(np.asarray(open_image(f)).astype(int) - noisy).mean() for f in files]
    assert len(files[0]) < len(files[1]) < len(files[2])
    assert errors[0] > errors[1] > errors[2]
