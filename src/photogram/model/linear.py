"""Linear layers whose rows do not know each other.

In: the packed tokens of a batch. Out: the product, where a token's result does not depend, to the
last bit, on how many other rows there are. On a CPU that is a property of oneDNN's kernels (MKL's,
which `torch.nn.functional.linear` takes for float32, choose another order of summation for few rows
per thread), with one exception, a single row, which is doubled here. Where oneDNN cannot multiply
(another device, a precision that this CPU lacks), torch's own product is taken, without the promise.
"""

from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

After = Literal["nothing", "gelu"]

_ONEDNN_AFTER = {"nothing": ("none", ""), "gelu": ("gelu", "tanh")}


class Linear(nn.Module):
    """``x @ weight.T + bias``, and a GELU after it where asked."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features))

    # not `forward`: nn.Module's hooks cost a small model a tenth of its time
    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)

    def gelu(self, x: Tensor) -> Tensor:
        """The product through a GELU (tanh form): (L, in_features) -> (L, out_features)."""
        return linear(x, self.weight, self.bias, "gelu")

    def matrix(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        """The weight on a device: (out_features, in_features); it may wait in the host's memory."""
        return self.weight.to(device, dtype, non_blocking=True)

    def prepack(self) -> None:
        """Put the weight into the order in which oneDNN reads it, for good.

        Otherwise every product does it again, which is a tenth of the time at a hundred tokens. The
        results are the same to the last bit. Afterwards the layer can neither be saved nor moved.
        """
        if _has_onednn(self.weight):
            packed = torch.ops.mkldnn._reorder_linear_weight(self.weight)  # noqa: SLF001 - as below
            self.weight = nn.Parameter(packed, requires_grad=False)


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, after: After = "nothing"
) -> Tensor:
    """``x @ weight.T + bias``, then a GELU in the tanh form if asked: (L, C) -> (L, rows of weight).

    On a CPU a GELU by itself costs two thirds of its product, and where its vector loop ends
    depends on the batch; inside oneDNN's product it does neither.
    """
    if not _has_onednn(x):
        y = F.linear(x, weight, bias)
        return y if after == "nothing" else F.gelu(y, approximate="tanh")
    if len(x) == 1:
        return linear(x.expand(2, -1), weight, bias, after)[:1]
    product = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001 - the operator has no other name
    operation, algorithm = _ONEDNN_AFTER[after]
    z: Tensor = product(x, weight, bias, operation, [], algorithm)
    return z


def _has_onednn(x: Tensor) -> bool:
    return x.device.type == "cpu" and onednn_multiplies(x.dtype)


@cache
def onednn_multiplies(dtype: torch.dtype) -> bool:
    """Whether oneDNN is there and this CPU multiplies in a precision."""
    if not torch.backends.mkldnn.is_available():
        return False
    if dtype == torch.bfloat16:
        has_bf16: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001 - no other name
        return has_bf16
    return dtype == torch.float32
