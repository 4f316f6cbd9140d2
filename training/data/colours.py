"""Colours by name: of backgrounds, and of things painted anew in another colour.

Comes in: names and pictures as tensors. Goes out: sRGB values and recoloured pictures. It knows no sentence.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Names and sRGB values of the backgrounds; the first is what a sentence without one gets.
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "black": (16, 16, 18),
    "grey": (150, 152, 156),
    "red": (214, 48, 49),
    "orange": (240, 140, 40),
    "yellow": (250, 210, 60),
    "green": (62, 166, 88),
    "teal": (38, 160, 160),
    "light blue": (160, 208, 245),
    "blue": (44, 96, 210),
    "purple": (126, 70, 190),
    "pink": (246, 160, 196),
    "brown": (130, 88, 58),
    "beige": (240, 228, 205),
}

# Hue in turns, saturation and value that the middle of a thing's main colour is moved to.
OBJECT_COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.000, 0.80, 0.88),
    "orange": (0.080, 0.85, 0.95),
    "yellow": (0.135, 0.78, 0.97),
    "green": (0.370, 0.70, 0.66),
    "teal": (0.495, 0.75, 0.70),
    "blue": (0.605, 0.78, 0.86),
    "purple": (0.755, 0.62, 0.76),
    "pink": (0.930, 0.42, 0.97),
    "brown": (0.065, 0.62, 0.50),
    "black": (0.650, 0.08, 0.18),
    "white": (0.130, 0.03, 0.96),
    "grey": (0.600, 0.05, 0.60),
}
BINS = 36
COLOURED = 0.22  # saturation from which a pixel has a hue
KEPT_SPREAD = 0.35  # how much of the hues around the main one is left when they are moved


def colour_of(background: str) -> tuple[float, float, float]:
    """Return the colour of a named background in [0, 1]."""
    red, green, blue = BACKGROUNDS[background]
    return red / 255, green / 255, blue / 255


def to_hsv(rgb: Tensor) -> Tensor:
    """Return hue in turns, saturation and value, all in [0, 1], of (B, 3, H, W) in [0, 1]."""
    value, arg = rgb.max(1)
    spread = value - rgb.amin(1)
    red, green, blue = rgb.unbind(1)
    safe = spread.clamp(min=1e-6)
    hues = torch.stack(
        [((green - blue) / safe) % 6, (blue - red) / safe + 2, (red - green) / safe + 4]
    )
    hue = hues.gather(0, arg[None])[0] / 6
    return torch.stack([hue % 1, spread / value.clamp(min=1e-6), value], 1)


def to_rgb(hsv: Tensor) -> Tensor:
    """Return the inverse of `to_hsv`."""
    hue, saturation, value = hsv.unbind(1)
    shift = torch.tensor([5.0, 3.0, 1.0], device=hsv.device)[None, :, None, None]
    k = (shift + hue[:, None] * 6) % 6
    ramp = torch.minimum(k, 4 - k).clamp(0, 1)
    return value[:, None] * (1 - saturation[:, None] * ramp)


def main_part(hsv: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Return the main hue (B,) and how much each pixel (B, H, W) belongs to it.

    A thing without much colour (a ghost, a cloud) has its bright grey pixels as its main part.
    """
    hue, saturation, value = hsv.unbind(1)
    weight = alpha * value * (saturation - COLOURED).clamp(min=0)
    bins = (hue * BINS).long().clamp(max=BINS - 1).flatten(1)
    histogram = torch.zeros(len(hue), BINS, device=hsv.device)
    histogram.scatter_add_(1, bins, weight.flatten(1))
    smooth = histogram + histogram.roll(1, 1) + histogram.roll(-1, 1)
    main = (smooth.argmax(1) + 0.5) / BINS
    distance = (hue - main[:, None, None] + 0.5) % 1 - 0.5
    near = ((0.13 - distance.abs()) / 0.05).clamp(0, 1)
    near = near * ((saturation - COLOURED / 2) / COLOURED).clamp(0, 1)
    grey = ((0.3 - saturation) / 0.1).clamp(0, 1) * ((value - 0.3) / 0.1).clamp(0, 1)
    colourful = (near * alpha).sum((1, 2)) > 0.2 * alpha.sum((1, 2))
    return main, torch.where(colourful[:, None, None], near, grey)


def recolour(rgba: Tensor, names: list[str]) -> Tensor:
    """Return pictures whose main colour has become the named one.

    Args:
        rgba: (B, 4, H, W) in [0, 1], not premultiplied.
        names: B keys of `OBJECT_COLOURS`.
    """
    hsv, alpha = to_hsv(rgba[:, :3]), rgba[:, 3]
    main, part = main_part(hsv, alpha)
    hue, saturation, value = hsv.unbind(1)
    target = torch.tensor([OBJECT_COLOURS[name] for name in names], device=rgba.device)
    mass = (part * alpha).sum((1, 2)).clamp(min=1e-3)
    mean_saturation = ((saturation * part * alpha).sum((1, 2)) / mass).clamp(0.05, 1)
    mean_value = ((value * part * alpha).sum((1, 2)) / mass).clamp(0.1, 0.97)
    moved_hue = (hue - main[:, None, None] + 0.5) % 1 - 0.5
    is_grey = mean_saturation < COLOURED
    moved_hue = torch.where(is_grey[:, None, None], 0.0, moved_hue * KEPT_SPREAD)
    moved_hue = (moved_hue + target[:, 0, None, None]) % 1
    ratio = torch.where(is_grey[:, None, None], 1.0, saturation / mean_saturation[:, None, None])
    moved_saturation = (target[:, 1, None, None] * ratio).clamp(0, 1)
    # Darker by a factor, lighter by a power: either keeps the contrast and stays within [0, 1].
    darker = value * (target[:, 2] / mean_value)[:, None, None]
    power = (torch.log(target[:, 2]) / torch.log(mean_value)).clamp(0.05, 1)
    lighter = value.clamp(min=1e-4) ** power[:, None, None]
    moved_value = torch.where((target[:, 2] < mean_value)[:, None, None], darker, lighter)
    moved = to_rgb(torch.stack([moved_hue, moved_saturation, moved_value], 1))
    rgb = rgba[:, :3].lerp(moved, part[:, None])
    return torch.cat([rgb, rgba[:, 3:]], 1)
