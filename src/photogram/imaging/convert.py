"""A picture file of ours in another format.

The bytes of a file come in, those of the same picture with the same words about itself go out. Files
that say nothing of how they were made are not ours, and are left alone.
"""

import io

import numpy as np
from PIL import Image

from photogram.core.messages import ImageFormat
from photogram.imaging.encode import encode
from photogram.imaging.metadata import read_exif

_QUALITY = 95  # of a file that was compressed before


def convert(data: bytes, image_format: ImageFormat) -> bytes:
    """The bytes of the picture in a format.

    Raises:
        ValueError: The file says nothing of how its picture was made.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            metadata = read_exif(image.getexif())
            pixels = np.asarray(image.convert("RGB"))
    except ValueError:
        raise
    except Exception:  # noqa: BLE001 - an upload may be broken in any way
        raise ValueError("the file is broken") from None
    return encode(pixels, image_format, _QUALITY, metadata=metadata)
