"""The data pack: all that training reads, in one file of at most 20 MiB.

Comes in: a work folder. Goes out: a zip file with the pictures of the concepts as WebP (256x256, with alpha), both
tokenizers, the filler words, the latent transform and the licences; and back to a work folder on a machine
that has torch, numpy, Pillow and safetensors alone.
"""

from __future__ import annotations

import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from training.data.pictures import Concept, Picture, PictureStore, plain

Pixels = NDArray[np.uint8]
ALPHA_QUALITY = 60
TEXT_FILES = (
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer_2/tokenizer.json",
    "tokenizer_2/tokenizer_config.json",
    "fillers.json",
    "licences.json",
    "autoencoder/codec.safetensors",
)
MARK = "pack.json"


class PackTooLargeError(ValueError):
    """The pictures do not fit the limit at the given quality."""


def pack(
    work: Path, concepts: list[Concept], target: Path, quality: int, limit: int
) -> dict[str, int]:
    """Write the pack of `concepts`; return how many pictures of each set it holds.

    Raises:
        PackTooLargeError: The file is larger than `limit` bytes; it is left for looking at.
    """
    store = PictureStore(work / "pictures")
    wanted = {plain(concept.emoji) for concept in concepts}
    by_source: dict[str, list[Picture]] = {}
    for picture in store.pictures:
        rows = by_source.setdefault(picture.source, [])
        if picture.emoji in wanted:
            rows.append(picture)
    counts = {key: len(rows) for key, rows in by_source.items()}
    with zipfile.ZipFile(target, "w") as archive:
        for key, rows in by_source.items():
            _add_set(archive, store, key, rows, quality)
        for name in TEXT_FILES:
            archive.write(work / name, name, zipfile.ZIP_DEFLATED)
        mark = {"concepts": len(concepts), "quality": quality, "pictures": counts}
        archive.writestr(MARK, json.dumps(mark))
    if target.stat().st_size > limit:
        raise PackTooLargeError(f"{target} is {target.stat().st_size} bytes, {limit} are allowed")
    return counts


def _add_set(
    archive: zipfile.ZipFile, store: PictureStore, key: str, rows: list[Picture], quality: int
) -> None:
    """Add one set as a run of WebP files and a list of emoji and lengths."""
    with ThreadPoolExecutor() as pool:
        files = list(pool.map(lambda picture: encode(store.rgba(picture), quality), rows))
    index = [{"emoji": p.emoji, "bytes": len(f)} for p, f in zip(rows, files, strict=True)]
    archive.writestr(f"pictures/{key}.json", json.dumps(index), zipfile.ZIP_DEFLATED)
    archive.writestr(f"pictures/{key}.webp", b"".join(files))


def unpack(source: Path, work: Path) -> dict[str, int]:
    """Fill `work` with what training reads, unless this pack is there already; return counts per set."""
    with zipfile.ZipFile(source) as archive:
        mark = archive.read(MARK)
        if not (work / MARK).is_file() or (work / MARK).read_bytes() != mark:
            for name in TEXT_FILES:
                archive.extract(name, work)
            for key in json.loads(mark)["pictures"]:
                _extract_set(archive, key, work / "pictures")
            (work / MARK).write_bytes(mark)
    counts: dict[str, int] = json.loads(mark)["pictures"]
    return counts


def _extract_set(archive: zipfile.ZipFile, key: str, folder: Path) -> None:
    """Write one set as `PictureStore` reads it."""
    index = json.loads(archive.read(f"pictures/{key}.json"))
    data = archive.read(f"pictures/{key}.webp")
    ends = np.cumsum([row["bytes"] for row in index])
    files = [data[end - row["bytes"] : end] for row, end in zip(index, ends, strict=True)]
    with ThreadPoolExecutor() as pool:
        pictures = list(pool.map(decode, files))
    folder.mkdir(parents=True, exist_ok=True)
    rgba = np.stack(pictures) if pictures else np.zeros((0, 256, 256, 4), np.uint8)
    save_file({"rgba": rgba}, folder / f"{key}.safetensors")
    rows = json.dumps([{"emoji": row["emoji"]} for row in index], ensure_ascii=False)
    (folder / f"{key}.json").write_text(rows, encoding="utf-8")


def encode(rgba: Pixels, quality: int) -> bytes:
    """Return (256, 256, 4) as WebP with alpha; what is hidden is blanked, which saves bytes."""
    blanked = np.where(rgba[..., 3:] == 0, np.uint8(0), rgba)
    buffer = io.BytesIO()
    image = Image.fromarray(blanked)
    image.save(buffer, "webp", quality=quality, alpha_quality=ALPHA_QUALITY, method=6)
    return buffer.getvalue()


def decode(data: bytes) -> Pixels:
    """Return the picture of `encode` as (256, 256, 4)."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
