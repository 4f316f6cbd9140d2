"""What safetensors files hold, read from their headers alone.

In: a file, or a folder of shards. Out: a `TensorHeader` of every tensor. It reads no tensor and
imports no torch.

Source: huggingface/safetensors README.md, "Format"; Comfy-Org/ComfyUI QUANTIZATION.md, "Quantization
Metadata".
"""

import json
import struct
from pathlib import Path
from typing import Any

from photogram.core.errors import CheckpointError
from photogram.weights.configs import Config
from photogram.weights.files.header import BLOCKS, TensorHeader

_MAX_HEADER_BYTES = 100 * 2**20  # the limit of the safetensors library itself
_QUANTIZATION = "_quantization_metadata"
_KNOWN_FORMATS = ("float8_e4m3fn", "float8_e5m2")


def read_shards(index: Path) -> dict[str, TensorHeader]:
    """Every tensor of the files that an index names, all in the index's own folder.

    Raises:
        CheckpointError: A file or a tensor that is missing, or not listed.
    """
    weight_map = Config.read(index).table("weight_map")
    place = {name: weight_map.text(name) for name in weight_map.names}
    tensors: dict[str, TensorHeader] = {}
    for file_name in sorted(set(place.values())):
        if Path(file_name).name != file_name:
            raise CheckpointError(f"{index}: {file_name!r} is not the name of a file beside it")
        path = index.parent / file_name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing, but {index.name} lists it")
        tensors |= read_safetensors(path)
    for name, file_name in place.items():
        if name not in tensors or tensors[name].file.name != file_name:
            raise CheckpointError(f"{index}: {name} is not in {file_name}")
    for name, tensor in tensors.items():
        if name not in place:
            raise CheckpointError(f"{tensor.file}: {name} is not listed in {index.name}")
    if not tensors:
        raise CheckpointError(f"{index}: weight_map is empty")
    return tensors


def read_safetensors(path: Path) -> dict[str, TensorHeader]:
    """Every tensor of one file.

    Raises:
        CheckpointError: The file is cut off, damaged, or quantised in a way that is not known.
    """
    header, data_begin, size_bytes = _read_header(path)
    _check_metadata(path, header.pop("__metadata__", None))
    tensors = {name: _read_entry(path, name, entry, data_begin) for name, entry in header.items()}
    _check_places(path, tensors, data_begin, size_bytes)
    return tensors


def read_metadata(path: Path) -> dict[str, str]:
    """What the writer of a file says of it.

    Raises:
        CheckpointError: The file is cut off or damaged.
    """
    header, _, _ = _read_header(path)
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict):
        return {}
    return {name: text for name, text in metadata.items() if isinstance(text, str)}


def _read_header(path: Path) -> tuple[dict[str, Any], int, int]:
    """The header's object, where the tensors begin, and the file's size."""
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
    return header, 8 + length, size_bytes


def _read_entry(path: Path, name: str, entry: Any, data_begin: int) -> TensorHeader:
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]}:
            if BLOCKS.get(dtype, (0, 0))[0] != 1:
                raise CheckpointError(f"{path}: {name} is of the unknown type {dtype!r}")
            if all(isinstance(side, int) and side >= 0 for side in shape):
                tensor = TensorHeader(path, name, dtype, tuple(shape), data_begin + begin)
                if begin >= 0 and end - begin == tensor.size_bytes:
                    return tensor
    raise CheckpointError(f"{path}: the header entry of {name} is damaged")


def _check_places(
    path: Path, tensors: dict[str, TensorHeader], data_begin: int, size_bytes: int
) -> None:
    """The tensors fill the file, one after another."""
    end = data_begin
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.begin, tensor.end)):
        if tensor.begin != end:
            raise CheckpointError(
                f"{path}: {tensor.name} begins at byte {tensor.begin}, not where the one before it "
                f"ends, at {end}"
            )
        end = tensor.end
    if size_bytes != end:
        raise CheckpointError(
            f"{path} is truncated or damaged: it has {size_bytes} bytes, its header describes {end}"
        )


def _check_metadata(path: Path, metadata: Any) -> None:
    """Refuse numbers that mean something else than their type says."""
    if not isinstance(metadata, dict) or _QUANTIZATION not in metadata:
        return
    try:
        layers = json.loads(metadata[_QUANTIZATION])["layers"]
        formats = {name: layer["format"] for name, layer in layers.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise CheckpointError(f"{path}: {_QUANTIZATION} in its header is damaged") from None
    for name, found in formats.items():
        if found not in _KNOWN_FORMATS:
            raise CheckpointError(
                f"{path}: {name} is quantised as {found!r}; known are {', '.join(_KNOWN_FORMATS)}"
            )
