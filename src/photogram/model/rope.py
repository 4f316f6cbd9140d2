"""Rotary position embedding over three axes.

In: position ids. Out: a cosine and a sine for every token and channel pair, and queries and keys
turned by them. It knows no heads, no blocks and no text: text tokens sit at position (0, 0, 0).
"""

import torch
from torch import Tensor

from photogram.model.params import THETA


def rope(ids: Tensor, axes_dim: tuple[int, ...]) -> Tensor:
    """The rotation of every token.

    Source: black-forest-labs/flux src/flux/math.py `rope`, modules/layers.py `EmbedND`; there a
    rotation is a whole 2x2 matrix.

    Args:
        ids: (L, 3), positions on the axes (unused, row, column).
        axes_dim: Channels that each axis turns, even; their sum is one head.

    Returns:
        pe: (L, head_dim / 2, 2) float32, cosine and sine.
    """
    angles = []
    for axis, dim in enumerate(axes_dim):
        # float64: at theta 10,000 the slow frequencies lose their low bits in float32
        omega = 1.0 / THETA ** (
            torch.arange(0, dim, 2, dtype=torch.float64, device=ids.device) / dim
        )
        angles.append(torch.outer(ids[:, axis].double(), omega))
    angle = torch.cat(angles, dim=-1)
    return torch.stack([angle.cos(), angle.sin()], dim=-1).float()


def apply_rope(x: Tensor, pe: Tensor) -> Tensor:
    """Turn neighbouring channel pairs of every head; on a CPU in place.

    Args:
        x: (L, N, H, head_dim) float32.
        pe: (L, head_dim / 2, 2) float32, from `rope`.

    Returns:
        The same shape and dtype as `x`.
    """
    pairs, pe = x.unflatten(-1, (-1, 2)), pe[:, None, None]
    if x.device.type == "cpu":  # one kernel: a rotation is a product of complex numbers
        torch.view_as_complex(pairs).mul_(torch.view_as_complex(pe))
        return x
    # torch.compile makes one kernel of real products only
    (a, b), (cos, sin) = pairs.unbind(-1), pe.unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)
