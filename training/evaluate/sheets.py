"""Contact sheets: pictures in rows and columns with a line of text below each, in few bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from training.evaluate.paint import Pixels

LINE = 12
QUALITIES = (88, 82, 76, 70, 64, 58, 52, 46, 40, 32, 24)


def sheet(
    pictures: Sequence[Pixels], texts: Sequence[str], columns: int, side: int, lines: int = 1
) -> Image.Image:
    """Return a sheet of `columns`; each picture fits a square of `side`, its text in `lines` below it."""
    rows, height = -(-len(pictures) // columns), side + lines * LINE
    canvas = Image.new("RGB", (columns * side, rows * height), (255, 255, 255))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(9)
    for index, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        image = Image.fromarray(picture)
        image.thumbnail((side - 2, side - 2), Image.Resampling.LANCZOS)
        left, top = index % columns * side, index // columns * height
        place = (left + (side - image.width) // 2, top + (side - image.height) // 2)
        canvas.paste(image, place)
        rest = text
        for line in range(lines):
            length = _fitting(rest, lambda part: draw.textlength(part, font) <= side - 4)
            where = (left + 2, top + side + line * LINE)
            draw.text(where, rest[:length], fill=(70, 70, 70), font=font)
            rest = rest[length:].lstrip()
    return canvas


def _fitting(text: str, fits: Callable[[str], bool]) -> int:
    """Return how many characters fit a line, whole words if possible."""
    length = len(text)
    while length and not fits(text[:length]):
        length -= 1
    end = text.rfind(" ", 0, length) if length < len(text) else -1
    return end if end > 0 else length


def save(image: Image.Image, path: Path, limit: int) -> None:
    """Write `image` as WebP of at most `limit` bytes, as good as that allows.

    Raises:
        ValueError: Even the lowest quality is larger.
    """
    for quality in QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "webp", quality=quality, method=6)
        if buffer.tell() <= limit:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(buffer.getvalue())
            return
    raise ValueError(f"{path.name} does not fit {limit} bytes")
