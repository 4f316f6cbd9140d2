"""Real pictures made into training pictures for the judge: other backgrounds, places, colours, blur, noise.

Comes in: premultiplied RGBA at the judge's size. Goes out: RGB in [0, 1]. Whatever a painting may do to a
thing without making it another thing is done here; no label and no network is known.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name
from torch import Tensor

WHITE_SHARE = 0.4
TURNED_COLOUR_SHARE = 0.15
NEIGHBOUR_SHARE = 0.12
BLUR_SHARE = 0.7
SPOILT_SHARE = 0.5


def lay_on(rgba: Tensor, colours: Tensor) -> Tensor:
    """Return RGB of premultiplied `rgba` (B, 4, H, W) on `colours` (B, 3)."""
    return rgba[:, :3] + (1 - rgba[:, 3:]) * colours[:, :, None, None]


def move(rgba: Tensor) -> Tensor:
    """Return the pictures smaller or larger, shifted, a little stretched and turned, some mirrored."""
    count = len(rgba)
    scale = 1 / (0.55 + 0.6 * torch.rand(count, 1))
    stretch = torch.exp(0.12 * torch.randn(count, 1).clamp(-2, 2))
    sizes = scale * torch.cat([stretch, 1 / stretch], dim=1)
    mirror = torch.where(torch.rand(count) < 0.25, -1.0, 1.0)
    angle = torch.randn(count).clamp(-2, 2) * math.radians(6)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = sizes[:, 0] * angle.cos() * mirror
    theta[:, 0, 1] = -sizes[:, 0] * angle.sin()
    theta[:, 1, 0] = sizes[:, 1] * angle.sin() * mirror
    theta[:, 1, 1] = sizes[:, 1] * angle.cos()
    # a small thing may stand anywhere, a large one stays nearly whole
    room = 0.12 + (scale - 1).clamp(0, 0.8)
    theta[:, :, 2] = (2 * torch.rand(count, 2) - 1) * room
    grid = F.affine_grid(theta, list(rgba.shape), align_corners=False)
    return F.grid_sample(rgba, grid, align_corners=False)


def turn_colours(rgba: Tensor) -> Tensor:
    """Return the pictures with some hues turned: a thing keeps its name in another colour.

    The turn is a rotation around the grey axis; Source: P. Haeberli, "Matrix operations for image processing"
    (1993), hue rotation without luminance correction.
    """
    count = len(rgba)
    chosen = torch.rand(count) < TURNED_COLOUR_SHARE
    angle = torch.where(chosen, 2 * math.pi * torch.rand(count), torch.zeros(count))
    axis = torch.ones(3, 3) / 3
    third = 1 / math.sqrt(3)
    cross = torch.tensor([[0.0, -third, third], [third, 0.0, -third], [-third, third, 0.0]])
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    matrix = c * torch.eye(3) + s * cross + (1 - c) * axis
    rgb = torch.einsum("bij,bjhw->bihw", matrix, rgba[:, :3])
    alpha = rgba[:, 3:]
    return torch.cat([torch.minimum(rgb.clamp(min=0), alpha), alpha], dim=1)


def add_neighbours(rgba: Tensor) -> Tensor:
    """Return the pictures, some with the edge of another thing at one side, as in a crop of a scene."""
    count = len(rgba)
    side = rgba.shape[-1]
    far = int(side * (0.7 + 0.25 * float(torch.rand(()))))
    along = 3 if torch.rand(()) < 0.5 else 2
    other = rgba.roll(1, 0)
    edge = torch.zeros_like(rgba)
    if torch.rand(()) < 0.5:
        edge.narrow(along, far, side - far).copy_(other.narrow(along, 0, side - far))
    else:
        edge.narrow(along, 0, side - far).copy_(other.narrow(along, far, side - far))
    keep = (torch.rand(count, 1, 1, 1) < NEIGHBOUR_SHARE).float()
    return rgba + keep * edge * (1 - rgba[:, 3:])


def spoil(x: Tensor) -> Tensor:
    """Return RGB pictures with blur, other light and noise."""
    side = x.shape[-1]
    if torch.rand(()) < BLUR_SHARE:
        smaller = int(torch.randint(side // 4, side, ()))
        small = F.interpolate(x, size=smaller, mode="bilinear", antialias=True)
        x = F.interpolate(small, size=side, mode="bilinear")
    count = len(x)
    # some keep their exact light and have no noise: a judge that always saw noise fails without it
    lit = (torch.rand(count, 1, 1, 1) < SPOILT_SHARE).float()
    noisy = (torch.rand(count, 1, 1, 1) < SPOILT_SHARE).float()
    gain = 1 + lit * 0.35 * (torch.rand(count, 3, 1, 1) - 0.5)
    shift = lit * 0.1 * (torch.rand(count, 1, 1, 1) - 0.5)
    noise = noisy * 0.08 * torch.rand(count, 1, 1, 1) * torch.randn_like(x)
    return (x * gain + shift + noise).clamp(0, 1)


def vary(rgba: Tensor) -> Tensor:
    """Return (B, 3, H, W) training pictures of premultiplied `rgba`, (B, 4, H, W) in [0, 1]."""
    count = len(rgba)
    rgba = add_neighbours(move(turn_colours(rgba)))
    white = torch.rand(count, 1) < WHITE_SHARE
    colours = torch.where(white, torch.ones(count, 3), torch.rand(count, 3))
    return spoil(lay_on(rgba, colours))
