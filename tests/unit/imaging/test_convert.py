import io
import itertools

import numpy as np
import pytest
from PIL import Image

from photogram.core.messages import Adapter, ImageFormat
from photogram.imaging.convert import convert
from photogram.imaging.encode import encode
from photogram.imaging.metadata import ImageMetadata, read_exif

METADATA = ImageMetadata(
    model="fake",
    seed=2**53 - 1,
    steps=3,
    guidance=3.5,
    width=64,
    height=48,
    adapters=(Adapter("ink", 0.5),),
    first_step=1,
    prompt='a "狐" 🦊',
)
FORMATS: tuple[ImageFormat, ...] = ("webp", "jpeg", "png")


def pixels() -> np.ndarray:
    rows = np.linspace(0, 255, 48, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(np.broadcast_to(rows[..., None], (48, 64, 3)))


@pytest.mark.parametrize(("before", "after"), [*itertools.product(FORMATS, FORMATS)])
def test_the_picture_stays_and_still_says_how_it_was_made(
    before: ImageFormat, after: ImageFormat
) -> None:
    file = encode(pixels(), before, 95, metadata=METADATA)
    with Image.open(io.BytesIO(convert(file, after))) as image:
        assert image.format == after.upper()
        assert read_exif(image.getexif()) == METADATA
        assert np.abs(np.asarray(image, dtype=int) - pixels()).mean() < 3


def test_a_file_that_ends_too_early_is_refused() -> None:
    file = encode(pixels(), "jpeg", 95, metadata=METADATA)
    with pytest.raises(ValueError, match="broken"):
        convert(file[: len(file) // 2], "png")


def test_a_file_that_does_not_say_how_it_was_made_is_refused() -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "png")
    with pytest.raises(ValueError, match="does not say"):
        convert(file.getvalue(), "webp")
