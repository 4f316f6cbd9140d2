"""A picture that others begin from, instead of from noise alone.

In: its pixels, a mask of what is to be painted, and how many steps are left out. Out: latents as
noisy as the first step that runs expects them, and after every step what no mask covers, put back.
It knows no prompt, file or queue.

Source: huggingface/diffusers pipelines/flux/pipeline_flux_img2img.py and pipeline_flux_inpaint.py
`prepare_latents` and `__call__`; with one seed the pictures are theirs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from photogram.sampling import latents
from photogram.sampling.solver import add_noise
from photogram.weights.components import Autoencoder

_PAINTED = 128
"""A mask's grey from which on a pixel is painted: half of white."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a mask leaves as it is.

    Attributes:
        img: (L, C) float32, the packed latents of the whole picture.
        noise: (L, C) float32, what the sample began as.
        is_painted: (L, C) bool.
    """

    img: Tensor
    noise: Tensor
    is_painted: Tensor

    def put_back(self, img: Tensor, sigma: float) -> Tensor:
        """A sample at a noise level, with what is kept of the picture at the same level."""
        return torch.where(self.is_painted, img, add_noise(self.img, self.noise, sigma))


@dataclass(frozen=True, slots=True)
class SourceLatents:
    """An encoded picture, on the CPU; all samples of a job share it.

    Attributes:
        mean: (1, C, h, w) float32, scaled: the most likely latents of the picture.
        std: (1, C, h, w) float32, scaled: how far they may be from it.
        first_step: Steps of the schedule that are left out.
        is_painted: (L, C) bool, packed; None where all is.
    """

    mean: Tensor
    std: Tensor
    first_step: int
    is_painted: Tensor | None

    def begin(self, seed: int, sigma: float, device: torch.device) -> tuple[Tensor, Kept | None]:
        """The packed latents of a sample at a noise level, and what is kept of the picture.

        The seed's first numbers choose among the picture's latents, the next are the noise.
        """
        _, *shape = self.mean.shape
        choice, noise = latents.noises(seed, 2, *shape)
        img = latents.pack(self.mean + self.std * choice).to(device)
        noise = latents.pack(noise).to(device)
        begun = add_noise(img, noise, sigma)
        if self.is_painted is None:
            return begun, None
        return begun, Kept(img, noise, self.is_painted.to(device))


def encode(
    vae: Any,
    autoencoder: Autoencoder,
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8] | None,
    first_step: int,
) -> SourceLatents:
    """A picture as latents.

    Args:
        vae: diffusers' `AutoencoderKL`.
        autoencoder: Its numbers.
        image: (H, W, 3) RGB, both sides multiples of two latents.
        mask: (H, W) grey, 128 and above is painted; each latent goes by the upper left of its
            pixels, as diffusers scales a mask down. None: all is painted.
        first_step: Steps of the schedule that are left out.
    """
    pixels = torch.tensor(image, device=vae.device).permute(2, 0, 1)[None]
    x = (pixels.float() / 255 * 2 - 1).to(vae.dtype, memory_format=torch.channels_last)
    posterior = vae.encode(x).latent_dist
    mean = (posterior.mean.float().cpu() - autoencoder.shift_factor) * autoencoder.scaling_factor
    std = posterior.std.float().cpu() * autoencoder.scaling_factor
    is_painted = None
    if mask is not None:
        every = autoencoder.factor
        chosen = torch.from_numpy(mask[::every, ::every] >= _PAINTED)
        is_painted = latents.pack(chosen.expand(mean.shape))
    return SourceLatents(mean.contiguous(), std.contiguous(), first_step, is_painted)
