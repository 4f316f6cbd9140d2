import io
import struct
import zlib

import pytest
from PIL import Image

from photogram.imaging.inspect import PictureFile, inspect_picture


def encoded(image_format: str, size: tuple[int, int] = (8, 6), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, image_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_told_by_what_is_in_it(image_format: str) -> None:
    assert tuple(inspect_picture(encoded(image_format))) == (image_format.lower(), 8, 6)


def test_a_phones_picture_is_its_first_one() -> None:
    small = Image.new("RGB", (4, 3))
    both = encoded("MPO", save_all=True, append_images=[small])
    assert inspect_picture(both) == PictureFile("jpeg", 8, 6)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_one_that_moves_is_refused(image_format: str) -> None:
    moving = encoded(image_format, save_all=True, append_images=[Image.new("RGB", (8, 6), "red")])
    with pytest.raises(ValueError, match="one picture, and holds 2"):
        inspect_picture(moving)


@pytest.mark.parametrize("size", [(8193, 1), (1, 8193), (8192, 4097), (9000, 9000)])
def test_a_large_one_is_refused_by_its_head(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"is {size[0]}x{size[1]}; a side has at most 8192"):
        inspect_picture(lying_about(size))


def test_one_beyond_all_measure_is_refused_in_the_same_words() -> None:
    with pytest.raises(ValueError, match="a side has at most 8192"):
        inspect_picture(lying_about((100_000, 100_000)))


def lying_about(size: tuple[int, int]) -> bytes:
    """A small file of a small picture that says it is of that size."""
    small = encoded("PNG")
    head = b"IHDR" + struct.pack(">II", *size) + small[24:29]
    return small[:12] + head + struct.pack(">I", zlib.crc32(head)) + small[33:]


def test_a_jpeg_that_is_drawn_over_and_over_is_refused() -> None:
    jpeg = encoded("JPEG", progressive=True)
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    with pytest.raises(ValueError, match="more than 32 scans"):
        inspect_picture(jpeg[:-2] + scan * 32 + jpeg[-2:])
    with pytest.raises(
        ValueError, match="more than 32 scans"
    ):  # a marker that stands alone hides none
        inspect_picture(jpeg[:-2] + (b"\xff\x01" + scan) * 32 + jpeg[-2:])
    # What merely looks like a scan is none: in a colour profile, or in a film behind the picture.
    film = encoded("JPEG", icc_profile=b"\xff\xda" * 1000) + b"\xff\xda" * 1000
    assert inspect_picture(film) == PictureFile("jpeg", 8, 6)


@pytest.mark.parametrize(
    "data",
    [b"", b"x" * 100, b"<svg/>", encoded("GIF"), encoded("BMP"), encoded("PNG")[:20]],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="PNG, JPEG or WebP"):
        inspect_picture(data)
