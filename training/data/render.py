"""Draw every picture of a set as 256x256 RGBA and keep the set in one safetensors file.

Comes in: an unpacked set. Goes out: `pictures/SOURCE.safetensors` with `rgba` (N, 256, 256, 4) uint8, and
`pictures/SOURCE.json` with one emoji per row. Colours are not premultiplied.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image
from safetensors.numpy import save_file

from training.data.names import Emoji, IconSet, find_webp, load_emoji, open_set
from training.data.sources import Source, source

SIZE = 256


def draw_svg(svg: str, size: int = SIZE) -> np.ndarray:
    """Return `svg` drawn as (size, size, 4) uint8."""
    data = bytes(
        resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    )
    return fit(Image.open(io.BytesIO(data)), size)


def fit(image: Image.Image, size: int = SIZE) -> np.ndarray:
    """Return `image` centred on a transparent square of `size`, as (size, size, 4) uint8."""
    image = image.convert("RGBA")
    if image.size != (size, size):
        image.thumbnail((size, size), Image.Resampling.LANCZOS)
        square = Image.new("RGBA", (size, size))
        square.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
        image = square
    return np.asarray(image)


def draw_emoji(opened: IconSet | Path, emoji: Emoji) -> np.ndarray | None:
    """Return the picture of `emoji`, or None where the set lacks it or it comes out blank."""
    if isinstance(opened, Path):
        path = find_webp(opened, emoji)
        picture = None if path is None else fit(Image.open(path))
    else:
        slug = opened.find(emoji)
        picture = None if slug is None else draw_svg(opened.svg(slug))
    if picture is None or int((picture[..., 3] > 0).sum()) < SIZE:
        return None
    return picture


def render_source(cache: Path, folder: Path, row: Source) -> int:
    """Draw one whole set into `folder`; return how many pictures it has."""
    opened = open_set(cache, row)
    pictures: list[np.ndarray] = []
    emoji_rows: list[dict[str, str]] = []
    for emoji in load_emoji(cache):
        picture = draw_emoji(opened, emoji)
        if picture is not None:
            pictures.append(picture)
            emoji_rows.append({"emoji": emoji.characters, "name": emoji.name, "group": emoji.group})
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"rgba": np.stack(pictures)}, folder / f"{row.key}.safetensors")
    rows = json.dumps(emoji_rows, ensure_ascii=False, indent=0)
    (folder / f"{row.key}.json").write_text(rows, encoding="utf-8")
    return len(pictures)


def render_key(arguments: tuple[Path, Path, str]) -> tuple[str, int]:
    """Draw the set named by key; one picklable argument, for a process pool."""
    cache, folder, key = arguments
    return key, render_source(cache, folder, source(key))
