"""Which parameters of the transformer are packed: as their file has them, or as a precision asks.

In: an entry of the key map, and the headers of its tensors or the name of a precision. Out: a packing,
or none, and its bytes. It reads no tensor and imports no torch.
"""

from math import prod
from typing import Final, Literal

from photogram.weights.files.header import PACKED, TensorHeader
from photogram.weights.keymap import Entry

Precision = Literal["float32", "bfloat16", "float8_e4m3fn", "int8", "nf4"]
"""The first two are exact: of all numbers. Of the others, that of the blocks' matrices; all else is
bfloat16."""

FLOAT8: Final = "F8_E4M3"
INT8: Final = "INT8"
NF4: Final = "NF4"

_SCALE_BYTES = 4  # a float32 at the end of every row, see `model.packed`
_NF4_BLOCK = (64, 34)  # numbers, bytes


def number_bytes(precision: Precision) -> int:
    """Bytes of a number that is not packed."""
    return 4 if precision == "float32" else 2


def is_modulation(name: str) -> bool:
    """Whether a parameter of ours is needed once a picture, and not at every step."""
    return "_mod." in name or ".modulation." in name


def quantised_as(entry: Entry, precision: Precision) -> str | None:
    """How a precision packs a parameter, whatever its file has; None: it does not.

    float8 leaves the modulation alone, which then waits in the host's memory where it must. nf4 takes
    int8 for it, and for rows that are not whole blocks: there four bits cost more than they save.
    """
    is_in_block = entry.name.startswith(("double_blocks.", "single_blocks."))
    if not is_in_block or not entry.name.endswith(".weight"):
        return None
    if precision == "float8_e4m3fn":
        return None if is_modulation(entry.name) else FLOAT8
    if precision == "nf4" and not is_modulation(entry.name):
        return INT8 if entry.shape[1] % _NF4_BLOCK[0] else NF4
    return INT8 if precision in ("int8", "nf4") else None


def entry_bytes(entry: Entry, precision: Precision) -> int:
    """What a parameter takes in memory in a precision, whatever its file has."""
    kind = quantised_as(entry, precision)
    if kind is None:
        return number_bytes(precision) * prod(entry.shape)
    rows, columns = entry.shape
    if kind == NF4:
        numbers, num_bytes = _NF4_BLOCK
        return rows * columns // numbers * num_bytes
    return rows * (columns + _SCALE_BYTES)


def sources_of(entry: Entry, tensors: dict[str, TensorHeader]) -> list[TensorHeader]:
    """The tensors of an entry, of each the rows that are taken."""
    return [
        tensors[source.name] if source.rows is None else tensors[source.name].rows(*source.rows)
        for source in entry.sources
    ]


def packing_of(entry: Entry, sources: list[TensorHeader]) -> str | None:
    """The packing of a layer's matrix, where all its tensors have the same; None for the others."""
    kinds = {tensor.dtype for tensor in sources}
    is_matrix = entry.name.endswith(".weight")
    if is_matrix and len(kinds) == 1 and kinds <= {FLOAT8, *PACKED}:
        return sources[0].dtype
    return None


def packed_bytes(entry: Entry, tensors: dict[str, TensorHeader]) -> int:
    """What a parameter takes in memory where everything that can be packed is, the rest bfloat16."""
    sources = sources_of(entry, tensors)
    kind = packing_of(entry, sources)
    if kind is None:
        return 2 * sum(tensor.num_elements for tensor in sources)
    scales = _SCALE_BYTES * entry.shape[0] if kind == FLOAT8 else 0
    return sum(tensor.size_bytes for tensor in sources) + scales
