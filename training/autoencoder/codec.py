"""The latent space: a linear transform of 16x16 patches, fitted once by principal components.

Comes in: pictures. Goes out: latents (B, 16, H/16, W/16). The space is fixed before any network is trained,
so the transformer does not wait for the autoencoder: the convolutional encoder learns to give these latents
and the decoder learns to paint from them. Directions are divided by a power of their deviation: 0 keeps
pixel energy (fine detail drowns in noise), 1 whitens (detail costs as much as colour); we take the middle.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name
from safetensors.torch import load_file, save_file
from torch import Tensor

PATCH = 16
CHANNELS = 16
WHITENING = 0.5


class LinearCodec:
    """Patch transform and its inverse; latents have mean zero and unit power over all channels."""

    def __init__(self, mean: Tensor, encode: Tensor, decode: Tensor) -> None:
        self.mean = mean  # (3, 16, 16)
        self.encode_kernel = encode  # (16, 3, 16, 16)
        self.decode_kernel = decode  # (16, 3, 16, 16)

    @classmethod
    def fit(cls, pictures: np.ndarray) -> LinearCodec:
        """Fit to `pictures`, (N, H, W, 3) in [0, 1]; the codec works on [-1, 1]."""
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2) * 2 - 1
        patches = F.unfold(x, PATCH, stride=PATCH).transpose(1, 2).reshape(-1, 3 * PATCH * PATCH)
        mean = patches.mean(0)
        centred = patches - mean
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
        values, vectors = values[-CHANNELS:].flip(0), vectors[:, -CHANNELS:].flip(1)
        deviation = values.sqrt()
        power = deviation ** (1 - WHITENING)
        scale = deviation**-WHITENING / power.square().mean().sqrt()
        shape = (CHANNELS, 3, PATCH, PATCH)
        encode = (vectors * scale).T.reshape(shape)
        decode = (vectors / scale).T.reshape(shape)
        return cls(mean.reshape(shape[1:]), encode.contiguous(), decode.contiguous())

    def to(self, device: torch.device) -> LinearCodec:
        """Return the same codec on `device`."""
        return LinearCodec(
            self.mean.to(device), self.encode_kernel.to(device), self.decode_kernel.to(device)
        )

    def encode(self, x: Tensor) -> Tensor:
        """Return latents (B, 16, H/16, W/16) of `x`, (B, 3, H, W) in [-1, 1]."""
        b, c, h, w = x.shape
        rows, columns = h // PATCH, w // PATCH
        patches = x.view(b, c, rows, PATCH, columns, PATCH).permute(0, 2, 4, 1, 3, 5)
        flat = patches.reshape(-1, c * PATCH * PATCH) - self.mean.flatten()
        latents = flat @ self.encode_kernel.flatten(1).T
        return latents.view(b, rows, columns, CHANNELS).permute(0, 3, 1, 2).contiguous()

    def decode(self, latents: Tensor) -> Tensor:
        """Return the linear picture, (B, 3, H, W) in about [-1, 1]."""
        x = F.conv_transpose2d(latents, self.decode_kernel, stride=PATCH)
        return x + self.mean.repeat(1, latents.shape[2], latents.shape[3])

    def save(self, path: Path) -> None:
        """Write the three tensors to `path`."""
        tensors = {"mean": self.mean, "encode": self.encode_kernel, "decode": self.decode_kernel}
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)

    @classmethod
    def load(cls, path: Path) -> LinearCodec:
        """Read what `save` wrote."""
        tensors = load_file(path)
        return cls(tensors["mean"], tensors["encode"], tensors["decode"])
