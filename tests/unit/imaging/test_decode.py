import contextlib
import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from diffusers.image_processor import VaeImageProcessor
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from photogram.imaging.decode import as_png, decode_cutout, decode_mask, decode_picture

RED, WHITE, BLACK = (255, 0, 0), (255, 255, 255), (0, 0, 0)


def encoded(image: Image.Image, image_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def scene(width: int = 40, height: int = 24) -> Image.Image:
    """A picture whose four corners differ."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns * 255 / width, rows * 255 / height, rows * 0 + 128], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def deep_png(colour_type: int, values: list[int]) -> bytes:
    """A PNG of one pixel, 16 bits a channel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        ending = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + ending

    row = b"\0" + b"".join(value.to_bytes(2) for value in values)
    head = struct.pack(">IIBBBBB", 1, 1, 16, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (Image.new("1", (4, 3), 1), WHITE),
        (Image.new("L", (4, 3), 7), (7, 7, 7)),
        (Image.new("LA", (4, 3), (7, 255)), (7, 7, 7)),
        (Image.new("LA", (4, 3), (7, 0)), WHITE),
        (Image.new("RGB", (4, 3), "red").convert("P"), RED),
        (Image.new("RGB", (4, 3), "red"), RED),
        (Image.new("RGBA", (4, 3), (255, 0, 0, 255)), RED),
        (Image.new("RGBA", (4, 3), (255, 0, 0, 0)), WHITE),
        (Image.new("RGBA", (4, 3), (255, 0, 0, 51)), (255, 204, 204)),
    ],
)
def test_whatever_a_png_holds_becomes_rgb_on_white(
    image: Image.Image, colour: tuple[int, int, int]
) -> None:
    picture = decode_picture(encoded(image))
    assert (picture.mode, picture.size, picture.getpixel((1, 1))) == ("RGB", (4, 3), colour)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_a_colour_may_be_the_transparent_one(mode: str) -> None:
    transparent = BLACK if mode == "RGB" else 0
    data = encoded(Image.new(mode, (4, 3)), transparency=transparent)
    assert decode_picture(data).getpixel((0, 0)) == WHITE
    assert decode_mask(data).getpixel((0, 0)) == 0


@pytest.mark.parametrize(
    ("colour_type", "values", "colour"),
    [
        (0, [65535], WHITE),
        (0, [32768], (128, 128, 128)),
        (0, [257], (1, 1, 1)),
        (2, [65535, 0, 257], (255, 0, 1)),
        (4, [257, 65535], (1, 1, 1)),
        (4, [257, 0], WHITE),
        (6, [65535, 0, 0, 65535], RED),
    ],
)
def test_sixteen_bits_become_eight(
    colour_type: int, values: list[int], colour: tuple[int, int, int]
) -> None:
    assert decode_picture(deep_png(colour_type, values)).getpixel((0, 0)) == colour


def test_a_cmyk_jpeg_is_shown_in_rgb() -> None:
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95)
    assert decode_picture(data).getpixel((4, 4)) == RED


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_that_was_held_another_way_is_no_matter(
    image_format: str, orientation: int
) -> None:
    undone = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = scene() if orientation == 1 else scene().transpose(undone[orientation])
    tags = Image.Exif()
    tags[274] = orientation
    picture = decode_picture(encoded(stored, image_format, exif=tags, quality=95))
    assert picture.size == (40, 24)
    assert np.abs(np.asarray(picture, float) - np.asarray(scene(), float)).max() < 40


@pytest.mark.filterwarnings("ignore")  # Pillow's word on them
@pytest.mark.parametrize("tags", [b"", b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"])
def test_tags_that_cannot_be_read_turn_nothing(tags: bytes) -> None:
    assert decode_picture(encoded(scene(), "JPEG", exif=tags)).size == (40, 24)


def test_a_mask_is_grey_and_keeps_what_is_transparent() -> None:
    mask = decode_mask(encoded(Image.new("RGBA", (4, 3), (255, 255, 255, 51))))
    assert (mask.mode, mask.getpixel((0, 0))) == ("L", 51)


def test_a_cutout_is_painted_where_it_is_transparent() -> None:
    cutout = Image.new("RGBA", (4, 3), (10, 20, 30, 255))
    cutout.putpixel((1, 1), (10, 20, 30, 0))
    mask = decode_cutout(encoded(cutout))
    assert (mask.mode, mask.getpixel((0, 0)), mask.getpixel((1, 1))) == ("L", 0, 255)


@pytest.mark.parametrize("image", [scene(), scene().convert("L"), scene().convert("P")])
def test_a_cutout_without_transparency_is_refused(image: Image.Image) -> None:
    with pytest.raises(ValueError, match="alpha channel"):
        decode_cutout(encoded(image))


@pytest.mark.parametrize("size", [(41, 10), (10, 41)])
def test_a_very_long_picture_is_refused_and_a_long_one_is_not(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at most 4 times"):
        decode_picture(encoded(Image.new("RGB", size)))
    decode_picture(encoded(Image.new("RGB", tuple(side // 10 * 10 for side in size))))


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("decode", [decode_picture, decode_mask, decode_cutout])
def test_half_of_a_file_is_refused(decode: Callable[[bytes], object], image_format: str) -> None:
    data = encoded(scene().resize((200, 100)).convert("RGB"), image_format)
    with pytest.raises(ValueError, match=r"broken|must be a PNG"):
        decode(data[: len(data) // 2])


def test_a_palette_that_is_missing_is_found() -> None:
    data = encoded(scene().convert("P"), "PNG")
    begin = data.index(b"PLTE") - 4
    length = int.from_bytes(data[begin : begin + 4], "big")
    with pytest.raises(ValueError, match="broken"):
        decode_picture(data[:begin] + data[begin + 12 + length :])


def test_a_changed_byte_of_a_png_is_found() -> None:
    data = bytearray(encoded(scene()))
    data[data.index(b"IDAT") + 20] ^= 1
    with pytest.raises(ValueError, match="broken"):
        decode_picture(bytes(data))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(16, 16), (64, 48), (40, 24)])
def test_another_size_is_diffusers_own(mode: str, size: tuple[int, int]) -> None:
    image = scene().convert(mode)
    theirs = VaeImageProcessor().resize(image, height=size[1], width=size[0])
    ours = Image.open(io.BytesIO(as_png(image, size)))
    assert (ours.mode, ours.size) == (mode, size)
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_nothing_else_of_a_file_is_passed_on() -> None:
    data = encoded(scene(), icc_profile=b"profile", dpi=(300, 300))
    assert Image.open(io.BytesIO(as_png(decode_picture(data), (16, 16)))).info == {}


@pytest.mark.parametrize(("size", "box"), [((24, 24), (8, 0, 32, 24)), ((40, 12), (0, 6, 40, 18))])
def test_what_differs_in_shape_may_be_cut_off(
    size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    cropped = Image.open(io.BytesIO(as_png(scene(), size, crops=True)))
    assert np.array_equal(np.asarray(cropped), np.asarray(scene().crop(box)))


WHOLE = [
    encoded(scene()),
    encoded(scene().convert("P"), transparency=3),
    encoded(scene().convert("RGBA"), compress_level=0),
    encoded(scene(), "JPEG"),
    encoded(scene(), "JPEG", progressive=True),
    encoded(scene(), "WEBP"),
    encoded(scene(), "WEBP", lossless=True),
]


@pytest.mark.filterwarnings("ignore")  # as above
@settings(deadline=None)
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=8),
    st.integers(0, 2**16),
    st.binary(max_size=16),
)
def test_of_damaged_files_come_pictures_or_clean_errors(
    data: bytes, changes: list[tuple[int, int]], end: int, tail: bytes
) -> None:
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    damaged = damaged[: end % len(damaged) + 1] if end % 3 == 0 else damaged
    for decode, mode in ((decode_picture, "RGB"), (decode_mask, "L"), (decode_cutout, "L")):
        with contextlib.suppress(ValueError):
            image = decode(bytes(damaged) + tail)
            assert image.mode == mode
            assert max(image.size) <= 8192
