"""Paint scenes as latents: the pictures of a run are kept on the device and laid out there.

Comes in: scenes and a canvas. Goes out: latents (B, 16, H/16, W/16). Nothing is stored per colour or canvas:
recolouring, resizing and laying over are a few tensor operations, and the latent space is linear.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name
from torch import Tensor

from training.autoencoder.codec import LinearCodec
from training.captions.scene import Scene, Square, layout
from training.data.colours import colour_of, recolour
from training.data.items import Item
from training.data.pictures import PictureStore

FULL = 256
LEVELS = (
    256,
    128,
    64,
)  # a square is drawn from the smallest stored picture that is not much smaller


class Painter:
    """All pictures of the items at three sizes, and the transform to latents."""

    def __init__(
        self, store: PictureStore, items: list[Item], codec: LinearCodec, device: torch.device
    ) -> None:
        pictures = [store.rgba(item.picture) for item in items]
        self.levels: dict[int, Tensor] = {}
        for side in LEVELS:
            pictures = [halved(rgba) if len(rgba) > side else rgba for rgba in pictures]
            stack = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
            self.levels[side] = stack.contiguous().to(device)
        self.codec = codec.to(device)
        self.device = device

    def pictures(self, scenes: list[Scene], width: int, height: int) -> Tensor:
        """Return (B, 3, height, width) in [-1, 1]."""
        canvas = torch.zeros(len(scenes), 4, height, width, device=self.device)
        groups: dict[tuple[int, Square], list[int]] = defaultdict(list)
        for index, scene in enumerate(scenes):
            for depth, square in enumerate(layout(scene, width, height)):
                groups[depth, square].append(index)
        for (_, square), where in sorted(groups.items(), key=lambda group: group[0][0]):
            things = [scenes[i].things[square.thing] for i in where]
            rgba = self._read([t.item for t in things], [t.colour for t in things], square.side)
            _lay(canvas, where, rgba, square)
        colours = torch.tensor([colour_of(s.background) for s in scenes], device=self.device)
        rgb = torch.addcmul(canvas[:, :3], 1 - canvas[:, 3:], colours[:, :, None, None])
        return rgb.mul_(2).sub_(1)

    def latents(self, scenes: list[Scene], width: int, height: int) -> Tensor:
        """Return (B, 16, height / 16, width / 16)."""
        return self.codec.encode(self.pictures(scenes, width, height))

    def _read(self, rows: list[int], colours: list[str | None], side: int) -> Tensor:
        """Return pictures at `side`, (M, 4, side, side), premultiplied, some in other colours."""
        level = next(s for s in reversed(LEVELS) if side <= 1.2 * s or s == FULL)
        rgba = self.levels[level][torch.tensor(rows, device=self.device)].float().div_(255)
        painted = [i for i, colour in enumerate(colours) if colour is not None]
        if painted:
            names = [colour for colour in colours if colour is not None]
            rgba[painted] = recolour(rgba[painted], names)
        rgba[:, :3] *= rgba[:, 3:]
        if side == level:
            return rgba
        return F.interpolate(rgba, (side, side), mode="bilinear", antialias=side < level)


def halved(rgba: np.ndarray) -> np.ndarray:
    """Return (S, S, 4) uint8 averaged to half the side; colours of empty pixels do not bleed."""
    x = rgba.astype(np.uint16)
    cells = [x[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    alpha = sum(c[..., 3:].astype(np.uint32) for c in cells)
    colour = sum(c[..., :3].astype(np.uint32) * c[..., 3:] for c in cells)
    mean = np.concatenate([colour // np.maximum(alpha, 1), (alpha + 2) // 4], axis=-1)
    return mean.astype(np.uint8)


def _lay(canvas: Tensor, where: list[int], rgba: Tensor, square: Square) -> None:
    """Lay premultiplied pictures over some canvases of a batch, cut at the edge."""
    height, width = canvas.shape[2:]
    left, top, side = square.left, square.top, square.side
    inner = (
        slice(max(0, top), min(height, top + side)),
        slice(max(0, left), min(width, left + side)),
    )
    cut = rgba[
        ...,
        inner[0].start - top : inner[0].stop - top,
        inner[1].start - left : inner[1].stop - left,
    ]
    rows = torch.tensor(where, device=canvas.device)
    below = canvas[rows][..., inner[0], inner[1]]
    canvas[rows, :, inner[0], inner[1]] = cut + (1 - cut[:, 3:]) * below
