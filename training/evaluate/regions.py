"""Find things in a painting: what differs from its background, in one piece or several.

Comes in: pictures (3, H, W) in [0, 1]. Goes out: masks, boxes, crops, counts and colours. It knows no prompt.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name
from torch import Tensor

from training.data.colours import OBJECT_COLOURS, main_part, to_hsv
from training.evaluate.judge import SIDE

EDGE = 6  # pixels from the border that are background in nearly every picture
DIFFERENCE = 0.10  # root mean square over channels from which a pixel belongs to a thing
TOUCHING = 9  # pixels: bridges narrower than this do not join two things
SMALLEST_PART = 0.25  # of the largest piece: smaller ones are crumbs


def background_of(picture: Tensor) -> Tensor:
    """Return the colour (3,) of the four corners: their median, so that one corner may be covered."""
    ends = (slice(0, EDGE), slice(-EDGE, None))
    corners = [picture[:, y, x].mean((1, 2)) for y in ends for x in ends]
    return torch.stack(corners).median(0).values


def thing_mask(picture: Tensor) -> Tensor:
    """Return (H, W) booleans: pixels that are not background, single ones removed."""
    apart = (picture - background_of(picture)[:, None, None]).square().mean(0).sqrt()
    rough = (apart > DIFFERENCE).float()[None, None]
    return F.avg_pool2d(rough, 5, 1, 2)[0, 0] > 0.5


def crop_of(picture: Tensor, mask: Tensor) -> Tensor:
    """Return the square around what `mask` marks, (3, 64, 64), with a margin of a twelfth.

    Outside the canvas there is background. An empty mask gives the whole picture.
    """
    rows, columns = torch.where(mask)
    if len(rows) == 0:
        return F.interpolate(picture[None], size=(SIDE, SIDE), mode="area")[0]
    top, bottom = int(rows.min()), int(rows.max()) + 1
    left, right = int(columns.min()), int(columns.max()) + 1
    side = math.ceil(max(bottom - top, right - left) * 7 / 6)
    y, x = (top + bottom - side) // 2, (left + right - side) // 2
    canvas = background_of(picture)[:, None, None].repeat(1, side, side)
    height, width = picture.shape[1:]
    inner_top, inner_left = max(0, y), max(0, x)
    inner_bottom, inner_right = min(height, y + side), min(width, x + side)
    canvas[:, inner_top - y : inner_bottom - y, inner_left - x : inner_right - x] = picture[
        :, inner_top:inner_bottom, inner_left:inner_right
    ]
    return F.interpolate(canvas[None], size=(SIDE, SIDE), mode="area")[0]


def halves(picture: Tensor, *, upright: bool) -> tuple[Tensor, Tensor]:
    """Return the left and right half of a picture, or the upper and lower one."""
    middle = picture.shape[1 if upright else 2] // 2
    if upright:
        return picture[:, :middle], picture[:, middle:]
    return picture[:, :, :middle], picture[:, :, middle:]


def count_things(picture: Tensor) -> int:
    """Return how many pieces of similar size a picture has on its background; touching edges part them."""
    solid = -F.max_pool2d(-thing_mask(picture).float()[None, None], TOUCHING, 1, TOUCHING // 2)
    mask = F.max_pool2d(solid, 4, ceil_mode=True)[0, 0] > 0
    sizes = piece_sizes(mask)
    return sum(size >= SMALLEST_PART * max(sizes) for size in sizes)


def piece_sizes(mask: Tensor) -> list[int]:
    """Return the areas of the connected pieces (eight neighbours) of an (H, W) mask."""
    labels = torch.arange(1, mask.numel() + 1, dtype=torch.float32).view(mask.shape) * mask
    while True:
        spread = F.max_pool2d(labels[None, None], 3, 1, 1)[0, 0] * mask
        if torch.equal(spread, labels):
            break
        labels = spread
    found = labels[labels > 0].unique(return_counts=True)[1]
    return [int(size) for size in found]


def main_colour(picture: Tensor) -> str:
    """Return which of `OBJECT_COLOURS` is nearest to a thing's main colour.

    Main colour: mean hue, saturation and value of the pixels of its main part, as recolouring finds it;
    nearest in the cone of colours (hue around the axis, saturation times value across it).
    """
    alpha = thing_mask(picture).float()[None]
    hsv = to_hsv(picture[None])
    weight = (main_part(hsv, alpha)[1] * alpha).flatten()
    hue, saturation, value = hsv[0].flatten(1)
    total = weight.sum().clamp(min=1e-6)
    mean = (_cone(hue, saturation, value) * weight).sum(1) / total
    named = torch.tensor(list(OBJECT_COLOURS.values())).T
    distance = (_cone(*named) - mean[:, None]).square().sum(0)
    return list(OBJECT_COLOURS)[int(distance.argmin())]


def _cone(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Return (3, N) points of the colour cone."""
    angle, radius = 2 * math.pi * hue, saturation * value
    return torch.stack([radius * angle.cos(), radius * angle.sin(), value])
