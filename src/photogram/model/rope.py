"""Rotary position embedding over three axes.

In: position ids. Out: one complex unit number for every token and channel pair, and queries and
keys turned by it. It knows no heads, no blocks and no text: text tokens sit at position (0, 0, 0).
"""

import torch
from torch import Tensor

from photogram.model.params import THETA


def rope(ids: Tensor, axes_dim: tuple[int, ...]) -> Tensor:
    """The rotation of every token.

    Source: black-forest-labs/flux src/flux/math.py `rope`, modules/layers.py `EmbedND`. There a
    rotation is a 2x2 matrix, here it is the complex number ``cos + i sin``: the same products.

    Args:
        ids: (L, 3), positions on the axes (unused, row, column).
        axes_dim: Channels that each axis turns, even; their sum is one head.

    Returns:
        pe: (L, head_dim / 2) complex64.
    """
    angles = []
    for axis, dim in enumerate(axes_dim):
        # float64: at theta 10,000 the slow frequencies lose their low bits in float32
        omega = 1.0 / THETA ** (
            torch.arange(0, dim, 2, dtype=torch.float64, device=ids.device) / dim
        )
        angles.append(torch.outer(ids[:, axis].double(), omega))
    angle = torch.cat(angles, dim=-1)
    return torch.complex(angle.cos().float(), angle.sin().float())


def apply_rope(x: Tensor, pe: Tensor) -> Tensor:
    """Turn neighbouring channel pairs of every head.

    Args:
        x: (L, ..., head_dim) float32.
        pe: (L, head_dim / 2) complex64.

    Returns:
        The same shape and dtype as `x`.
    """
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    pe = pe.view(pe.shape[0], *[1] * (x.ndim - 2), pe.shape[1])
    return torch.view_as_real(pairs * pe).flatten(-2)
