"""Cut safetensors files into parts of a few MiB and join them again, for ways that carry only small files.

Comes in: one safetensors file, or the folder of its parts. Goes out: the other; every tensor and the metadata come
back to the last bit, or nothing is written.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

PART_BYTES = 15 * 2**20 - 4096
INDEX = "index.json"


def split(source: Path, folder: Path, limit: int = PART_BYTES) -> list[Path]:
    """Write `source` as parts of at most `limit` bytes and an index into `folder`; return the parts."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("part-*"):
        old.unlink()
    data = source.read_bytes()
    parts = []
    for number, start in enumerate(range(0, len(data), limit)):
        path = folder / f"part-{number:02d}.bin"
        path.write_bytes(data[start : start + limit])
        parts.append(path)
    index = {
        "name": source.name,
        "parts": [path.name for path in parts],
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")
    return parts


def join(folder: Path, target: Path) -> None:
    """Write the file of the parts in `folder` to `target`.

    Raises:
        ValueError: Parts are missing, or not those that the index was written with.
    """
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    missing = [name for name in index["parts"] if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} lacks {', '.join(missing)}")
    data = b"".join((folder / name).read_bytes() for name in index["parts"])
    if hashlib.sha256(data).hexdigest() != index["sha256"]:
        raise ValueError(f"the parts in {folder} are not those of its index")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    partial.write_bytes(data)
    partial.rename(target)
