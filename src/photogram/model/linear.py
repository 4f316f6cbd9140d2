"""Linear layers whose rows do not know each other.

In: the packed tokens of a batch. Out: the product, where a token's result does not depend, to the
last bit, on how many other rows there are. On a CPU that is a property of oneDNN's kernels (MKL's,
which `torch.nn.functional.linear` takes for float32, choose another order of summation for few rows
per thread), with one exception, a single row, which is doubled here. Where oneDNN cannot multiply
(another device, a precision that this CPU lacks), torch's own product is taken, without the promise.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """`nn.Linear` with a typed call, and without the hooks that cost a small model its time."""

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``x @ weight.T + bias``: (L, C) -> (L, rows of weight)."""
    if _has_onednn(x):
        return _onednn_linear(x, weight, bias, "none", "")
    return F.linear(x, weight, bias)


def linear_gelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``gelu(x @ weight.T + bias)`` in the tanh form: (L, C) -> (L, rows of weight).

    On a CPU a GELU by itself costs two thirds of its product, and where its vector loop ends
    depends on the batch; inside oneDNN's product it does neither.
    """
    if _has_onednn(x):
        return _onednn_linear(x, weight, bias, "gelu", "tanh")
    return F.gelu(F.linear(x, weight, bias), approximate="tanh")


def _has_onednn(x: Tensor) -> bool:
    return x.device.type == "cpu" and _onednn_multiplies(x.dtype)


@cache
def _onednn_multiplies(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available():
        return False
    if dtype == torch.bfloat16:
        has_bf16: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001 - no other name
        return has_bf16
    return dtype == torch.float32


def _onednn_linear(x: Tensor, weight: Tensor, bias: Tensor, post: str, algorithm: str) -> Tensor:
    if len(x) == 1:
        return _onednn_linear(x.expand(2, -1), weight, bias, post, algorithm)[:1]
    product = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001 - the operator has no other name
    y: Tensor = product(x, weight, bias, post, [], algorithm)
    return y
