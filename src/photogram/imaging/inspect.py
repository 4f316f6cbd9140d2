"""What a file of a picture says of itself, read from its head.

The bytes of a file come in, from whoever; its format and size go out. No pixel is decoded, so that
a small file of a huge picture costs no more than any other.
"""

import io
import re
from typing import Final, NamedTuple

from PIL import Image

from photogram.core.messages import ImageFormat

MAX_SIDE: Final = 8192
MAX_PIXELS: Final = 2**25
_LIMITS = f"a side has at most {MAX_SIDE} pixels, and a picture {MAX_PIXELS}"

MAX_SCANS: Final = 32
"""Of a JPEG, which is drawn over once for each; usual are 1 to 12."""

# Markers that a length follows; the others stand alone, or inside of a scan.
_SEGMENT = re.compile(rb"\xff+([^\x00\x01\xd0-\xd8\xff])")
_END, _SCAN = b"\xd9", b"\xda"

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
    except Image.DecompressionBombError:
        raise ValueError(f"is too large; {_LIMITS}") from None
    except Exception:  # noqa: BLE001 - a broken file may break a decoder in any way
        raise ValueError("must be a PNG, JPEG or WebP file") from None
    if num_frames != 1:
        raise ValueError(f"must hold one picture, and holds {num_frames}")
    if max(found.width, found.height) > MAX_SIDE or found.width * found.height > MAX_PIXELS:
        raise ValueError(f"is {found.width}x{found.height}; {_LIMITS}")
    if found.image_format == "jpeg" and _num_scans(data) > MAX_SCANS:
        raise ValueError(f"is a JPEG of more than {MAX_SCANS} scans; store it again")
    return found


def _num_scans(jpeg: bytes) -> int:
    """Scans of a JPEG's first picture, one too many being enough.

    Source: ITU-T T.81, section B.1.1: markers, their lengths, and what stands for 0xFF in a scan.
    """
    num_scans = at = 0
    while num_scans <= MAX_SCANS and (found := _SEGMENT.search(jpeg, at)) and found[1] != _END:
        num_scans += found[1] == _SCAN
        at = found.end() + int.from_bytes(jpeg[found.end() : found.end() + 2])
    return num_scans
