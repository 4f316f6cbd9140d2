"""What a picture will look like, told from its latents while it is being painted.

In: latents on their way to a picture. Out: small pixels, for far less than the decoder costs. The
decoder is replaced by the linear map that is nearest to it, which is found when a checkpoint is
loaded: by what the decoder makes of noise. It knows no schedule, no text and no file.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from photogram.core.errors import EngineFailedError

MOST_PIXELS = 256
"""Of the longer side of a preview; smaller pictures are shown in their own size."""

_NOISE_SIDE = 32
"""So many latents a side are decoded: 1,024 equations for 16 * 3 * 3 unknowns."""

_KERNEL = 3
_RIDGE = 1e-3
"""Of the noise's own variance, so that chance does not become part of the map."""


class LinearDecoder:
    """The linear map that is nearest to a decoder: each latent's patch from its 3x3 neighbours.

    White noise weighs every direction of the latents alike, and shares no colour or form with any
    picture that the map could have been fitted to instead.

    Source: least squares with a ridge (A. Hoerl, R. Kennard, "Ridge Regression", Technometrics 12,
    1970) for the decoder's response to white noise.

    Args:
        decode: (1, C, h, w) latents -> (1, 3, h * factor, w * factor) pixels, about -1 to 1.
        num_channels: C.
        device: Where latents are.
    """

    def __init__(
        self, decode: Callable[[Tensor], Tensor], num_channels: int, device: torch.device
    ) -> None:
        shape = (1, num_channels, _NOISE_SIDE, _NOISE_SIDE)
        noise = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(0))
        image = decode(noise.to(device)).float().cpu()
        factor = image.shape[-1] // _NOISE_SIDE
        weight, bias = _fit(noise, functional.pixel_unshuffle(image, factor))
        self._factor = factor
        self._weight = weight.to(device)
        self._bias = bias.to(device)

    def __call__(self, latents: Tensor) -> NDArray[np.uint8]:
        """A small picture of latents.

        Args:
            latents: (1, C, h, w) float32.

        Returns:
            (H, W, 3), of the picture's form and at most `MOST_PIXELS` long.

        Raises:
            EngineFailedError: The latents are not finite numbers.
        """
        patches = functional.conv2d(_pad(latents), self._weight, self._bias)
        image = functional.pixel_shuffle(patches, self._factor)
        height, width = image.shape[-2:]
        if (scale := MOST_PIXELS / max(height, width)) < 1:
            size = (max(round(height * scale), 1), max(round(width * scale), 1))
            image = functional.interpolate(image, size, mode="area")
        if not image.isfinite().all():
            raise EngineFailedError("the model's numbers overflowed; there is no preview")
        pixels = (image[0] / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
        return pixels.permute(1, 2, 0).contiguous().cpu().numpy()


def _fit(noise: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
    """The kernel (P, C, 3, 3) and the bias (P,) that turn `noise` most nearly into `patches`."""
    num_channels = noise.shape[1]
    known = functional.unfold(_pad(noise), _KERNEL)[0].T.double()
    known = torch.cat([known, torch.ones(len(known), 1, dtype=torch.float64)], dim=1)
    wanted = patches[0].flatten(1).T.double()
    gram = known.T @ known
    gram.diagonal()[:-1] += _RIDGE * len(known)
    solution = torch.linalg.solve(gram, known.T @ wanted).float()
    weight = solution[:-1].T.reshape(-1, num_channels, _KERNEL, _KERNEL)
    return weight.contiguous(), solution[-1].contiguous()


def _pad(latents: Tensor) -> Tensor:
    return functional.pad(latents, [_KERNEL // 2] * 4, mode="replicate")
