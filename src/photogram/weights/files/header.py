"""One tensor of a file, before it is read.

In: what a file's header states. Out: a frozen record of it. It opens no file and imports no torch,
so that any process may look into a checkpoint of any size.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

BLOCKS: Final = {
    "F64": (1, 8), "F32": (1, 4), "F16": (1, 2), "BF16": (1, 2), "F8_E4M3": (1, 1),
    "F8_E5M2": (1, 1), "I64": (1, 8), "I32": (1, 4), "I16": (1, 2), "I8": (1, 1), "U64": (1, 8),
    "U32": (1, 4), "U16": (1, 2), "U8": (1, 1), "BOOL": (1, 1),
    "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24), "Q8_0": (32, 34),
    "Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176),
    "Q6_K": (256, 210),
}  # fmt: skip
"""Type, in the words of safetensors or GGUF -> numbers and bytes of one block.

Source: huggingface/safetensors README.md, "Format"; ggml-org/ggml src/ggml-common.h.
"""

FLOATS: Final = {
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F64": "float64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
"""Types of single numbers that weights may have, in torch's words."""

PACKED: Final = tuple(name for name, (numbers, _) in BLOCKS.items() if numbers > 1)
"""Types of which only a block has a meaning."""


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """One tensor as its file's header states it.

    Attributes:
        name: In the file, with every prefix.
        dtype: One of `BLOCKS`.
        begin: Its first byte, from the file's start.
        scale: A tensor of the same file that its numbers are to be multiplied by.
    """

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    scale: "TensorHeader | None" = None

    @property
    def num_elements(self) -> int:
        """Numbers in the tensor."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor in the file, without its scale."""
        numbers, num_bytes = BLOCKS[self.dtype]
        return self.num_elements // numbers * num_bytes

    @property
    def end(self) -> int:
        """The byte after its last."""
        return self.begin + self.size_bytes

    def rows(self, begin: int, end: int) -> "TensorHeader":
        """Some rows of it: they lie one after another in the file."""
        first = replace(self, shape=(begin, *self.shape[1:]))
        scale = self.scale
        if scale is not None and scale.num_elements > 1:
            scale = scale.rows(begin, end)
        shape = (end - begin, *self.shape[1:])
        return replace(self, shape=shape, begin=self.begin + first.size_bytes, scale=scale)
