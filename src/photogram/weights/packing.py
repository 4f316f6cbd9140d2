"""Which parameters of the transformer can stay packed as their file has them.

In: an entry of the key map and the headers of its tensors. Out: their packing, or none. It reads no
tensor and imports no torch.
"""

from photogram.weights.files.header import PACKED, TensorHeader
from photogram.weights.keymap import Entry

FLOAT8 = "F8_E4M3"

_FLOAT8_SCALE_BYTES = 4  # a float32 at the end of every row, see `model.packed`


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
    scales = _FLOAT8_SCALE_BYTES * entry.shape[0] if kind == FLOAT8 else 0
    return sum(tensor.size_bytes for tensor in sources) + scales
