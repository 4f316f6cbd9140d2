"""Linear layers in eight bits, for GPUs that multiply in them: approximate, and so never a default.

In: a layer of ours. Out: one that multiplies in float8 (e4m3), with a scale for every row of the
weights, found once, and for every token, found at every call. It does not choose the layers.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photogram.model.linear import Linear
from photogram.model.packed import FLOAT8, PackedLinear, split_rows

DTYPE: Final = torch.float8_e4m3fn
_LARGEST: Final = torch.finfo(DTYPE).max  # 448
_SMALLEST_SCALE: Final = 1e-12


def quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """Every row as float8 and the factor that it was divided by.

    Args:
        x: (L, C), any floating dtype.

    Returns:
        (L, C) float8 and (L, 1) float32; their product is `x`, within 1/16 of every number that is
        not small beside the largest of its row.
    """
    largest = x.abs().amax(dim=-1, keepdim=True).float()
    scale = (largest / _LARGEST).clamp(min=_SMALLEST_SCALE)
    return (x.float() / scale).clamp(-_LARGEST, _LARGEST).to(DTYPE), scale


class Float8Linear(Linear):
    """A `Linear` whose product is of float8 numbers; what comes in and goes out is bfloat16.

    Args:
        layer: The layer that this one replaces; its tensors are not changed. Where they are packed
            as float8 already, they are taken as they are.
        device: Where this one shall be.
    """

    def __init__(self, layer: Linear, device: torch.device) -> None:
        nn.Module.__init__(self)
        weight, scale = _rows_of(layer, device)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.scale = nn.Parameter(scale.T.contiguous(), requires_grad=False)
        self.bias = nn.Parameter(layer.bias.to(device), requires_grad=False)

    def __call__(self, x: Tensor) -> Tensor:
        rows, scale = quantize(x)
        y: Tensor = torch._scaled_mm(  # noqa: SLF001 - torch has no other name for it
            rows,
            self.weight.T,
            scale_a=scale,
            scale_b=self.scale,
            bias=self.bias,
            out_dtype=x.dtype,
            use_fast_accum=True,
        )
        return y

    def gelu(self, x: Tensor) -> Tensor:
        return F.gelu(self(x), approximate="tanh")


def _rows_of(layer: Linear, device: torch.device) -> tuple[Tensor, Tensor]:
    """As `quantize` returns a layer's weight, on a device."""
    if isinstance(layer, PackedLinear) and layer.kind == FLOAT8:
        return split_rows(layer.weight.to(device), DTYPE)
    return quantize(layer.matrix(device, layer.bias.dtype))
