"""The files in which a job carries the picture that it begins from.

In: the bytes of a PNG and the size that it must have. Out: its pixels. These files are our own making
(`imaging.decode.as_png`). It knows no tensor and no request.
"""

import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photogram.core.errors import EngineFailedError


def read_source(data: bytes, mode: Literal["RGB", "L"], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The pixels of a PNG.

    Args:
        data: The file.
        mode: Its colours: ``RGB``, or ``L`` for grey.
        size: Its width and height.

    Returns:
        (H, W, 3), or (H, W) of grey.

    Raises:
        EngineFailedError: It is no PNG of that size and those colours.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if (image.mode, image.size) != (mode, size):
                raise ValueError
            return np.array(image)
    except Exception:  # noqa: BLE001 - a broken file may break a decoder in any way
        width, height = size
        raise EngineFailedError(
            f"the picture to begin from is no PNG in {mode} of {width}x{height} pixels"
        ) from None
