"""What GGUF files hold, read from their headers alone.

In: a file. Out: a `TensorHeader` of every tensor. What else such a file states of itself (its
quantisation's recipe, a tokenizer) is passed over: the names and types of its tensors say all that
is needed. It reads no tensor and imports neither torch nor numpy.

Source: ggml-org/ggml docs/gguf.md, version 3; version 2 differs in nothing that is read here.
"""

import struct
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final

from photogram.core.errors import CheckpointError
from photogram.weights.files.header import BLOCKS, TensorHeader

MAGIC: Final = b"GGUF"

_VERSIONS = (2, 3)
_MAX_HEADER_BYTES = 100 * 2**20
_MAX_TENSORS = 2**16
_DEFAULT_ALIGNMENT = 32
_MAX_DIMENSIONS = 4
_STRING, _ARRAY = 8, 9
_NUMBERS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
"""GGUF's type of a metadata value -> its letter for `struct`."""

_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K",
    11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 28: "F64", 30: "BF16",
}  # fmt: skip
"""GGML's number of a tensor's type -> its name."""


class _Header:
    """The beginning of a file, taken one value after another; no more of it is read."""

    def __init__(self, path: Path, file: BufferedReader, size_bytes: int) -> None:
        self._path = path
        self._file = file
        self._end = min(size_bytes, _MAX_HEADER_BYTES)
        self.position = 0

    def number(self, letter: str) -> int:
        """A whole number of one of `struct`'s types."""
        (value,) = struct.unpack("<" + letter, self._take(struct.calcsize("<" + letter)))
        return int(value)

    def text(self) -> str:
        try:
            return self._take(self.number("Q")).decode()
        except UnicodeDecodeError:
            raise self.damaged("a name in it is not UTF-8") from None

    def skip_value(self, kind: int) -> None:
        """Pass over a metadata value."""
        if kind == _STRING:
            self._take(self.number("Q"))
        elif kind == _ARRAY:
            kind, count = self.number("I"), self.number("Q")
            if kind in _NUMBERS:
                self._take(count * struct.calcsize("<" + _NUMBERS[kind]))
            elif kind == _STRING:
                for _ in range(
                    count
                ):  # each takes at least 8 bytes, so the file's end is the limit
                    self._take(self.number("Q"))
            else:
                raise self.damaged(f"it has a list of the unknown type {kind}")
        elif kind in _NUMBERS:
            self._take(struct.calcsize("<" + _NUMBERS[kind]))
        else:
            raise self.damaged(f"it has a value of the unknown type {kind}")

    def damaged(self, problem: str) -> CheckpointError:
        return CheckpointError(f"{self._path}: its header is damaged, {problem}")

    def _take(self, length: int) -> bytes:
        if self.position + length > self._end:
            raise CheckpointError(f"{self._path} is truncated: it ends within its header")
        self.position += length
        return self._file.read(length)


def read_gguf(path: Path) -> dict[str, TensorHeader]:
    """Every tensor of one file.

    Raises:
        CheckpointError: The file is cut off or damaged, of another version, or has a tensor of a
            type that is not known.
    """
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            tensors, data_begin = _read_tensors(path, _Header(path, file, size_bytes))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    _check_places(path, tensors, data_begin, size_bytes)
    return tensors


def _read_tensors(path: Path, header: _Header) -> tuple[dict[str, TensorHeader], int]:
    """The tensors, and where their data begins."""
    magic, version = header.number("I"), header.number("I")
    if magic != int.from_bytes(MAGIC, "little"):
        raise CheckpointError(f"{path} is not a GGUF file")
    if version not in _VERSIONS:
        raise CheckpointError(f"{path} is GGUF version {version}; known are 2 and 3")
    num_tensors, num_values = header.number("Q"), header.number("Q")
    if num_tensors > _MAX_TENSORS:
        raise header.damaged(f"it states {num_tensors} tensors")
    alignment = _read_alignment(header, num_values)
    entries = list(_read_entries(header, num_tensors))
    data_begin = -(-header.position // alignment) * alignment
    tensors: dict[str, TensorHeader] = {}
    for name, kind, shape, offset in entries:
        if name in tensors:
            raise header.damaged(f"it lists {name} twice")
        tensors[name] = _make_header(path, name, kind, shape, data_begin + offset)
    return tensors, data_begin


def _read_alignment(header: _Header, num_values: int) -> int:
    """Pass over the metadata; all that is taken from it is where tensors may begin."""
    alignment = _DEFAULT_ALIGNMENT
    for _ in range(num_values):
        key, kind = header.text(), header.number("I")
        if key == "general.alignment" and kind in _NUMBERS:
            alignment = header.number(_NUMBERS[kind])
            if alignment < 1:
                raise header.damaged(f"general.alignment is {alignment}")
        else:
            header.skip_value(kind)
    return alignment


def _read_entries(
    header: _Header, num_tensors: int
) -> Iterator[tuple[str, int, tuple[int, ...], int]]:
    """Of every tensor its name, its type, its shape and its offset in the data."""
    for _ in range(num_tensors):
        name, num_dimensions = header.text(), header.number("I")
        if num_dimensions > _MAX_DIMENSIONS:
            raise header.damaged(f"{name} has {num_dimensions} dimensions")
        shape = tuple(header.number("Q") for _ in range(num_dimensions))
        # GGML counts dimensions from the fastest, torch from the slowest
        yield name, header.number("I"), shape[::-1], header.number("Q")


def _make_header(
    path: Path, name: str, kind: int, shape: tuple[int, ...], begin: int
) -> TensorHeader:
    if kind not in _TYPES:
        raise CheckpointError(
            f"{path}: {name} is of GGML's type {kind}; known are {', '.join(_TYPES.values())}"
        )
    tensor = TensorHeader(path, name, _TYPES[kind], shape, begin)
    numbers, _ = BLOCKS[tensor.dtype]
    if not shape or 0 in shape or shape[-1] % numbers:
        raise CheckpointError(
            f"{path}: {name} is of type {tensor.dtype}, in blocks of {numbers}, "
            f"but has the shape {list(shape)}"
        )
    return tensor


def _check_places(
    path: Path, tensors: dict[str, TensorHeader], data_begin: int, size_bytes: int
) -> None:
    """No tensor lies over another or beyond the file."""
    end = data_begin
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.begin, tensor.end)):
        if tensor.begin < end:
            raise CheckpointError(f"{path}: {tensor.name} begins within the tensor before it")
        end = tensor.end
        if end > size_bytes:
            raise CheckpointError(
                f"{path} is truncated: it has {size_bytes} bytes, {tensor.name} ends at {end}"
            )
