"""Makes weights smaller when they are loaded: approximate, and so never a default.

In: a matrix. Out: its rows in a packing of `model.packed`, or a layer that multiplies in int8. It
chooses neither the matrices nor the packing.

Sources: int8 with a factor per row and per token: "SmoothQuant" (arXiv:2211.10438), section 3;
NF4: "QLoRA" (arXiv:2305.14314), section 3.
"""

from functools import cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photogram.model.linear import Linear
from photogram.model.packed import INT8, NF4, NF4_NUMBERS, PackedLinear, pack_rows, split_rows

_LARGEST = 127
_ZERO = 128  # where unsigned numbers have their zero
_SMALLEST_SCALE = 1e-12
_NF4_BLOCK = 64
_SMALLEST_NF4_SCALE = 2.0**-14  # the smallest of float16's normal numbers
_NUMBERS_AT_ONCE = 2**22


def pack(numbers: Tensor, kind: str) -> Tensor:
    """The rows of a matrix, packed.

    Args:
        numbers: (L, C) float32; C a multiple of 64 for `NF4`.
        kind: `INT8` or `NF4`.

    Returns:
        (L, row_bytes(kind, C)) uint8.
    """
    pack_piece = {INT8: _pack_int8, NF4: _pack_nf4}[kind]
    at_once = max(_NUMBERS_AT_ONCE // numbers.shape[1], 1)
    return torch.cat([pack_piece(piece) for piece in numbers.split(at_once)])


def _pack_int8(numbers: Tensor) -> Tensor:
    return pack_rows(*quantize(numbers))


def quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """Every row as int8 and the factor that it was divided by.

    Args:
        x: (L, C), any floating dtype.

    Returns:
        (L, C) int8 and (L, 1) float32; their product is `x`, within 1/254 of its row's largest.
    """
    scale = x.abs().amax(dim=-1, keepdim=True).float().div_(_LARGEST).clamp_(min=_SMALLEST_SCALE)
    return (x / scale).round_().to(torch.int8), scale


def _pack_nf4(numbers: Tensor) -> Tensor:
    """Every number's nearest in `NF4_NUMBERS`, times its block's largest magnitude."""
    blocks = numbers.reshape(-1, _NF4_BLOCK)
    scale = blocks.abs().amax(dim=1, keepdim=True).clamp_(min=_SMALLEST_NF4_SCALE).half()
    borders = torch.tensor([(low + high) / 2 for low, high in pairwise(NF4_NUMBERS)])
    indices = torch.bucketize(blocks / scale.float(), borders, out_int32=True).to(torch.uint8)
    low, high = indices.chunk(2, dim=1)
    return torch.cat([scale.view(torch.uint8), low | (high << 4)], dim=1).view(len(numbers), -1)


class Int8Linear(Linear):
    """A `Linear` whose product is of int8 numbers, on a CPU that multiplies in them.

    Every token gets a factor of its own, so that its result does not depend on the others.

    Args:
        layer: The layer that this one replaces, packed as `INT8`.
    """

    def __init__(self, layer: PackedLinear) -> None:
        nn.Module.__init__(self)
        numbers, scale = split_rows(layer.weight, torch.int8)
        prepack = torch.ops.onednn.qlinear_prepack
        self.weight = nn.Parameter(prepack(numbers, None), requires_grad=False)
        self.scale = nn.Parameter(scale[:, 0], requires_grad=False)
        self.bias = nn.Parameter(layer.bias.float(), requires_grad=False)
        self._zeros = torch.zeros(len(scale), dtype=torch.int32)

    def __call__(self, x: Tensor) -> Tensor:
        rows, factors = quantize(x)
        # oneDNN is fast with unsigned tokens alone
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            (rows.view(torch.uint8) ^ _ZERO), 1.0, _ZERO, self.weight, self.scale, self._zeros,
            None, 1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        return torch.addcmul(self.bias, y, factors).to(x.dtype)

    def gelu(self, x: Tensor) -> Tensor:
        # by the error function: within 5e-4 of the tanh form, in a quarter of its time
        return F.gelu(self(x))

    def prepack(self) -> None:
        """Nothing: it is."""


@cache
def int8_multiplies() -> bool:
    """Whether oneDNN is there and this CPU multiplies in int8 without saturating on the way."""
    has_vnni: bool = torch.cpu.get_capabilities().get("avx512_vnni", False)
    return torch.backends.mkldnn.is_available() and has_vnni
