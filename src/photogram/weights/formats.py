"""What safetensors files hold, read from their headers alone.

In: a component's folder. Out: the name, type, shape and file of every tensor. It reads no tensor
and imports no torch, so that any process may look into a checkpoint of any size.

Source: huggingface/safetensors README.md, "Format".
"""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from photogram.core.errors import CheckpointError
from photogram.weights.configs import Config

_MAX_HEADER_BYTES = 100 * 2**20  # the limit of the safetensors library itself
_SIZE_BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8,
    "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
}  # fmt: skip
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """One tensor as its file's header states it; `dtype` in safetensors' words."""

    file: Path
    dtype: str
    shape: tuple[int, ...]

    @property
    def num_elements(self) -> int:
        """Numbers in the tensor."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor in the file."""
        return self.num_elements * _SIZE_BITS[self.dtype] // 8


def read_headers(folder: Path, stem: str) -> dict[str, TensorHeader]:
    """Every tensor of a component, in one file or in shards.

    Args:
        folder: Of the component, such as ``transformer``.
        stem: The file's name before ``.safetensors``, as diffusers or transformers writes it.

    Raises:
        CheckpointError: No weights, two sets of them, pickled weights, or files that do not hold
            what they state.
    """
    single = folder / f"{stem}.safetensors"
    index = folder / f"{stem}.safetensors.index.json"
    if single.is_file() and index.is_file():
        raise CheckpointError(f"{folder} holds {single.name} and {index.name}; remove one of them")
    if single.is_file():
        return _read_file(single)
    if index.is_file():
        return _read_shards(index)
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise CheckpointError(
            f"{folder} holds {pickles[0]}, a pickle, which can run code when it is loaded; "
            f"convert the weights to {single.name}"
        )
    raise CheckpointError(f"{single} is missing")


def _read_shards(index: Path) -> dict[str, TensorHeader]:
    weight_map = Config.read(index).table("weight_map")
    place = {name: weight_map.text(name) for name in weight_map.names}
    tensors: dict[str, TensorHeader] = {}
    for file_name in sorted(set(place.values())):
        if Path(file_name).name != file_name:
            raise CheckpointError(f"{index}: {file_name!r} is not the name of a file beside it")
        path = index.parent / file_name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing, but {index.name} lists it")
        tensors |= _read_file(path)
    for name, file_name in place.items():
        if name not in tensors or tensors[name].file.name != file_name:
            raise CheckpointError(f"{index}: {name} is not in {file_name}")
    for name, tensor in tensors.items():
        if name not in place:
            raise CheckpointError(f"{tensor.file}: {name} is not listed in {index.name}")
    if not tensors:
        raise CheckpointError(f"{index}: weight_map is empty")
    return tensors


def _read_file(path: Path) -> dict[str, TensorHeader]:
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else _MAX_HEADER_BYTES + 1
            if length > min(_MAX_HEADER_BYTES, size_bytes - 8):
                raise CheckpointError(f"{path} is truncated, or not a safetensors file")
            header = json.loads(file.read(length))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path}: its header is not valid JSON") from None
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: its header is not a JSON object")
    header.pop("__metadata__", None)

    tensors = {}
    end_bytes = 0
    for name, entry in header.items():
        tensors[name], end = _read_entry(path, name, entry)
        end_bytes = max(end_bytes, end)
    if size_bytes != 8 + length + end_bytes:
        raise CheckpointError(
            f"{path} is truncated or damaged: it has {size_bytes} bytes, "
            f"its header describes {8 + length + end_bytes}"
        )
    return tensors


def _read_entry(path: Path, name: str, entry: Any) -> tuple[TensorHeader, int]:
    """The tensor and where it ends, in bytes after the header."""
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]}:
            if dtype not in _SIZE_BITS:
                raise CheckpointError(f"{path}: {name} is of the unknown type {dtype!r}")
            if all(isinstance(side, int) and side >= 0 for side in shape):
                tensor = TensorHeader(path, dtype, tuple(shape))
                if begin >= 0 and end - begin == tensor.size_bytes:
                    return tensor, end
    raise CheckpointError(f"{path}: the header entry of {name} is damaged")
