"""What a file of a picture says of itself, read from its head.

The bytes of a file come in, from whoever; its format and size go out. No pixel is decoded, so that
a small file of a huge picture costs no more than any other.
"""

import io
from typing import Final, NamedTuple

from PIL import Image

from photogram.core.messages import ImageFormat

MAX_SIDE: Final = 4096
MAX_PIXELS: Final = 16_777_216

# A phone's JPEG may hold a smaller one for previews, which makes it an MPO; its first picture counts.
_FORMATS: dict[str, ImageFormat] = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "WEBP": "webp"}


class PictureFile(NamedTuple):
    """A file's format, and its picture's size in pixels."""

    image_format: ImageFormat
    width: int
    height: int


def inspect_picture(data: bytes) -> PictureFile:
    """What a file is.

    Raises:
        ValueError: It is no PNG, JPEG or WebP of one picture, or its picture is too large; the
            words complete a sentence that begins with the file's name.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            num_frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            found = PictureFile(_FORMATS[str(image.format)], *image.size)
    except Exception:  # noqa: BLE001 - a broken file may break a decoder in any way
        raise ValueError("must be a PNG, JPEG or WebP file") from None
    if num_frames != 1:
        raise ValueError(f"must hold one picture, and holds {num_frames}")
    if max(found.width, found.height) > MAX_SIDE or found.width * found.height > MAX_PIXELS:
        raise ValueError(
            f"is {found.width}x{found.height}; a side has at most {MAX_SIDE} pixels, and a picture "
            f"{MAX_PIXELS}"
        )
    return found
