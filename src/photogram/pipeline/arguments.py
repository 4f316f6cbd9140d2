"""What a caller of the pipeline asks for: checked, and its pictures read.

In: numbers and words, and pictures as people have them. Out: nothing or clean pictures, or an error
that names the argument and its limits. It knows no network.
"""

import io
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from photogram.core.errors import ErrorDetail, InvalidRequestError
from photogram.core.messages import ModelInfo
from photogram.imaging.decode import decode_mask, decode_picture

PictureLike = Image.Image | bytes | Path | str
"""A picture, the bytes of a file, or its path."""

_PNG_MODES = ("1", "L", "LA", "P", "I", "I;16", "RGB", "RGBA")


def check_size(model: ModelInfo, width: int, height: int) -> None:
    """Refuse a size that the model does not paint.

    Raises:
        InvalidRequestError: A side is no multiple of the model's.
    """
    multiple = model.size_multiple
    for field, side in (("width", width), ("height", height)):
        if side < multiple or side % multiple:
            below = max(side // multiple, 1) * multiple
            raise _invalid(
                field,
                f"{side} is not a multiple of {multiple}; the nearest are "
                f"{below} and {below + multiple}",
            )


def check_run(prompt: str, num_steps: int, guidance: float, seed: int, first_step: int) -> None:
    """Refuse what no picture can be painted with.

    Raises:
        InvalidRequestError: A value out of range.
    """
    if not _is_unicode(prompt):
        raise _invalid("prompt", "it holds half of a surrogate pair, which is no character")
    if num_steps < 1:
        raise _invalid("steps", f"{num_steps} is less than 1")
    if not math.isfinite(guidance):
        raise _invalid("guidance", f"{guidance} is not a finite number")
    if not 0 <= seed < 2**64:
        raise _invalid("seed", f"{seed} is not between 0 and 2**64 - 1")
    if not 0 <= first_step <= num_steps:
        raise _invalid("first_step", f"{first_step} is not between 0 and {num_steps}")


def check_scales(scales: Iterable[float]) -> None:
    """Refuse adapters' scales that are no numbers.

    Raises:
        InvalidRequestError: One is not finite.
    """
    for scale in scales:
        if not math.isfinite(scale):
            raise _invalid("loras", f"{scale} is not a finite number")


def check_strength(strength: float) -> None:
    """Refuse a strength out of range.

    Raises:
        InvalidRequestError: It is not between 0 and 1.
    """
    if not 0 <= strength <= 1:
        raise _invalid("prompt_strength", f"{strength} is not between 0 and 1")


def read_pictures(
    image: PictureLike | None, mask: PictureLike | None
) -> tuple[Image.Image | None, Image.Image | None]:
    """The picture to begin from, upright and RGB, and its mask, grey and as large.

    Raises:
        InvalidRequestError: One of them is no picture, or they do not go together.
    """
    if image is None:
        if mask is not None:
            raise _invalid("mask", "it is of an image, and there is none")
        return None, None
    picture = _read("image", image, decode_picture)
    if mask is None:
        return picture, None
    shape = _read("mask", mask, decode_mask)
    if shape.size != picture.size:
        raise _invalid(
            "mask",
            f"is {shape.width}x{shape.height}, and the image {picture.width}x{picture.height}; "
            "they must be of one size",
        )
    return picture, shape


def scaled(picture: Image.Image, width: int, height: int) -> NDArray[np.uint8]:
    """The pixels of a picture in another size, stretched as diffusers' `VaeImageProcessor` does."""
    return np.array(picture.resize((width, height), Image.Resampling.LANCZOS))


def _read(field: str, picture: PictureLike, decode: Callable[[bytes], Image.Image]) -> Image.Image:
    try:
        return decode(_file_of(field, picture))
    except ValueError as error:
        raise _invalid(field, str(error)) from None


def _file_of(field: str, picture: PictureLike) -> bytes:
    if isinstance(picture, bytes):
        return picture
    if not isinstance(picture, Image.Image):
        try:
            return Path(picture).read_bytes()
        except OSError as error:
            raise _invalid(field, f"{picture} cannot be read: {error.strerror}") from None
    upright = ImageOps.exif_transpose(picture)
    buffer = io.BytesIO()
    storable = upright if upright.mode in _PNG_MODES else upright.convert("RGB")
    storable.save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _invalid(field: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError(f"{field}: {problem}", details=[ErrorDetail(field, problem)])
