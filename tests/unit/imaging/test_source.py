import io
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from photogram.core.errors import EngineFailedError
from photogram.imaging.source import read_source


def png(mode: str, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(buffer, "png")
    return buffer.getvalue()


def test_pixels_come_as_they_are() -> None:
    assert read_source(png("RGB", (48, 32)), "RGB", (48, 32)).shape == (32, 48, 3)
    grey = read_source(png("L", (48, 32)), "L", (48, 32))
    assert grey.shape == (32, 48)
    assert np.array_equal(grey, np.asarray(Image.open(io.BytesIO(png("L", (48, 32))))))


@pytest.mark.parametrize(
    ("data", "mode"),
    [
        (b"", "RGB"),
        (b"no picture", "RGB"),
        (png("RGB", (48, 32))[:-40], "RGB"),
        (png("RGB", (32, 48)), "RGB"),
        (png("L", (48, 32)), "RGB"),
        (png("RGBA", (48, 32)), "RGB"),
        (png("RGB", (48, 32)), "L"),
    ],
)
def test_anything_else_is_refused(data: bytes, mode: Literal["RGB", "L"]) -> None:
    with pytest.raises(EngineFailedError, match="48x32"):
        read_source(data, mode, (48, 32))
