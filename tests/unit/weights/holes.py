"""Files of weights at the size of the 12B: headers alone, and holes of the right length behind them."""

import json
import os
import struct
from pathlib import Path
from typing import Any

from photogram.weights.files.header import BLOCKS

Shape = tuple[int, ...]
Tensors = dict[str, tuple[str, Shape]]

GGML_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "Q4_K": 12, "Q5_K": 13, "BF16": 30}
ALIGNMENT = 32


def size_of(dtype: str, shape: Shape) -> int:
    numbers, num_bytes = BLOCKS[dtype]
    count = 1
    for side in shape:
        count *= side
    return count // numbers * num_bytes


def of_type(dtype: str, shapes: dict[str, Any]) -> Tensors:
    return {name: (dtype, tuple(shape)) for name, shape in shapes.items()}


def write_safetensors(path: Path, tensors: Tensors, **metadata: str) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **metadata}}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + size_of(dtype, shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    _write(path, struct.pack("<Q", len(text)) + text, end)


def write_gguf(path: Path, tensors: Tensors) -> None:
    values = text("general.architecture") + struct.pack("<I", 8) + text("flux")
    values += text("a.list") + struct.pack("<IIQ", 9, 8, 2) + text("x") + text("yz")
    values += text("general.file_type") + struct.pack("<II", 4, 7)
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 3) + values
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin = -(-end // ALIGNMENT) * ALIGNMENT
        end = begin + size_of(dtype, shape)
        sides = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        header += text(name) + sides + struct.pack("<IQ", GGML_TYPES[dtype], begin)
    header += bytes(-len(header) % ALIGNMENT)
    _write(path, header, end)


def text(word: str) -> bytes:
    return struct.pack("<Q", len(word.encode())) + word.encode()


def _write(path: Path, header: bytes, num_bytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header)
    os.truncate(path, len(header) + num_bytes)
