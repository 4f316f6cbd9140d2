"""Untrusted files of pictures to clean 8-bit ones, of the size that a job wants.

The bytes of a file come in, from whoever; a picture goes out that is upright, opaque and RGB, or a
mask that is grey, and the PNG of either. What a file may be is told from its head (`inspect`),
before any pixel is decoded. It knows no model and no request.

Colour profiles are not applied. All errors complete a sentence that begins with the file's name.
"""

import io
from typing import Final

import numpy as np
from PIL import ExifTags, Image, ImageChops

from photogram.imaging.inspect import inspect_picture

MAX_RATIO: Final = 4
"""Of a picture's sides."""

_PNG_COMPRESS_LEVEL = 1  # as in `encode`
_WHITE, _BLACK = (255, 255, 255, 255), (0, 0, 0, 255)
# Source: Exif 2.32, section 4.6.5, tag 274: what has been done to the picture; here, what undoes it.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_picture(data: bytes) -> Image.Image:
    """A file's picture: upright, RGB, on white where it is transparent.

    Raises:
        ValueError: It is none that can be painted from.
    """
    image = _decode(data)
    if max(image.size) > MAX_RATIO * min(image.size):
        raise ValueError(
            f"is {image.width}x{image.height}; the longer side may be at most {MAX_RATIO} times the"
            " shorter one"
        )
    return _opaque(image, _WHITE).convert("RGB")


def decode_mask(data: bytes) -> Image.Image:
    """A file's mask: upright, 8-bit grey, black where it is transparent.

    Raises:
        ValueError: It is no picture.
    """
    return _opaque(_decode(data), _BLACK).convert("L")


def decode_cutout(data: bytes) -> Image.Image:
    """A mask of the other kind, that is transparent where it is to be painted, as one of ours.

    Raises:
        ValueError: It is no picture, or has no transparency.
    """
    image = _decode(data)
    if not image.has_transparency_data:
        raise ValueError("must have an alpha channel: its transparent part is painted")
    return ImageChops.invert(image.convert("RGBA").getchannel("A"))


def as_png(image: Image.Image, size: tuple[int, int], *, crops: bool = False) -> bytes:
    """The PNG of a picture in another size.

    Source: huggingface/diffusers image_processor.py, `VaeImageProcessor.resize`: Lanczos, and a
    shape that differs is stretched.

    Args:
        image: RGB or grey.
        size: Width and height in pixels.
        crops: What differs in shape is cut off on both sides instead.
    """
    box = _middle(image.size, size) if crops else None
    resized = image.resize(size, Image.Resampling.LANCZOS, box=box)
    resized.info.clear()  # a colour profile, and whatever else was in the file
    buffer = io.BytesIO()
    resized.save(buffer, "png", compress_level=_PNG_COMPRESS_LEVEL)
    return buffer.getvalue()


def _decode(data: bytes) -> Image.Image:
    inspect_picture(data)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            image.load()
            turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
            upright = image if turn is None else image.transpose(turn)
            _ = upright.has_transparency_data  # fails where a palette is missing
    except Exception:  # noqa: BLE001 - a broken file may break a decoder in any way
        raise ValueError("is broken, or ends too early") from None
    # Pillow cuts 16 bits of grey off at 255.
    return _from_16_bit(upright) if upright.mode == "I;16" else upright


def _from_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _opaque(image: Image.Image, ground: tuple[int, int, int, int]) -> Image.Image:
    if not image.has_transparency_data:
        return image
    picture = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, ground), picture)


def _middle(size: tuple[int, int], shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest box of that shape in the middle of a picture."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    width, height = shape[0] * scale, shape[1] * scale
    left, top = max((size[0] - width) / 2, 0), max((size[1] - height) / 2, 0)
    return left, top, min(left + width, size[0]), min(top + height, size[1])
