"""Rectified flow on packed latents: noise, velocity, one call of the networks.

`x_sigma = (1 - sigma) * x0 + sigma * noise`, `velocity = noise - x0`.
Source: X. Liu et al., "Flow Straight and Fast" (2022), eq. 1; P. Esser et al. (2024), section 3.1 for the
logit-normal choice of sigma.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.train.batches import Tokens
from training.train.networks import Networks


def pack(latents: Tensor) -> Tensor:
    """Return (B, H/2 * W/2, 64) of (B, 16, H, W), channels of a 2x2 cell together."""
    b, c, h, w = latents.shape
    cells = latents.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return cells.reshape(b, (h // 2) * (w // 2), c * 4)


def image_ids(height: int, width: int, spread: int = 1) -> Tensor:
    """Return (H/2 * W/2, 3) positions of packed tokens for latents of this height and width.

    With `spread` 2 a 128 px picture's tokens lie where a 256 px picture has them, in the middle of four, so
    that what is learned about places holds when the picture grows.
    """
    middle = (spread - 1) / 2
    ids = torch.zeros(height // 2, width // 2, 3)
    ids[..., 1] += torch.arange(height // 2)[:, None] * spread + middle
    ids[..., 2] += torch.arange(width // 2)[None, :] * spread + middle
    return ids.reshape(-1, 3)


def encode_text(networks: Networks, tokens: Tokens) -> tuple[Tensor, Tensor]:
    """Return `txt` (B, T, D) and `vec` (B, P), without masks: pads are attended, as in FluxPipeline."""
    txt = networks.t5(tokens.t5)[0]
    vec = networks.clip(tokens.clip).pooler_output
    return txt, vec


def velocity(
    networks: Networks,
    img: Tensor,
    ids: Tensor,
    text: tuple[Tensor, Tensor],
    sigma: Tensor,
    guidance: Tensor,
) -> Tensor:
    """Return the predicted velocity (B, L, 64) in the networks' dtype."""
    dtype = text[0].dtype
    output: Tensor = networks.transformer(img.to(dtype), ids.to(img.device), text, sigma, guidance)
    return output


def draw_sigma(count: int, shift: float, device: torch.device) -> Tensor:
    """Return noise levels: three of five logit-normal, the others uniform, moved towards noise by `shift`."""
    normal = torch.sigmoid(torch.randn(count, device=device))
    uniform = torch.rand(count, device=device)
    sigma = torch.where(torch.rand(count, device=device) < 0.6, normal, uniform)
    return shift * sigma / (1 + (shift - 1) * sigma)


def mix(x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Return the noisy tokens at `sigma`, (B,)."""
    level = sigma[:, None, None]
    return (1 - level) * x0 + level * noise
