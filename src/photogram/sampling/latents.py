"""Latents as noise, as tokens and as positions.

In: a seed and a size in latent rows and columns. Out: the noise that a seed means, and the way
between a latent picture and the tokens of the network. It knows no pixels and no batch.
"""

import torch
from torch import Tensor


def noise(seed: int, channels: int, height: int, width: int) -> Tensor:
    """What a seed means: the same numbers on every device, and the same as in diffusers.

    Args:
        seed: 0 to 2**64 - 1; torch's generator on the CPU uses the low 32 bits.
        channels: Of the latents.
        height: Latent rows.
        width: Latent columns.

    Returns:
        (1, channels, height, width) float32 on the CPU.
    """
    (first,) = noises(seed, 1, channels, height, width)
    return first


def noises(seed: int, number: int, channels: int, height: int, width: int) -> list[Tensor]:
    """Several `noise`s of one seed, drawn one after the other."""
    generator = torch.Generator("cpu").manual_seed(seed)
    shape = (1, channels, height, width)
    return [torch.randn(shape, generator=generator, dtype=torch.float32) for _ in range(number)]


def pack(latents: Tensor) -> Tensor:
    """Patches of 2x2 to tokens: (1, C, h, w) -> (h/2 * w/2, C * 4).

    Source: huggingface/diffusers pipelines/flux/pipeline_flux.py `_pack_latents`.
    """
    _, C, h, w = latents.shape
    patches = latents.view(C, h // 2, 2, w // 2, 2)
    return patches.permute(1, 3, 0, 2, 4).reshape(h // 2 * (w // 2), C * 4)


def unpack(img: Tensor, rows: int, columns: int) -> Tensor:
    """The inverse of `pack`: (rows * columns, C * 4) -> (1, C, rows * 2, columns * 2)."""
    C = img.shape[1] // 4
    patches = img.view(rows, columns, C, 2, 2).permute(2, 0, 3, 1, 4)
    return patches.reshape(1, C, rows * 2, columns * 2)


def position_ids(rows: int, columns: int, text_length: int) -> Tensor:
    """Positions of the text tokens, all (0, 0, 0), then of the image tokens, (0, row, column).

    Returns:
        (text_length + rows * columns, 3) int64.
    """
    grid = torch.cartesian_prod(
        torch.zeros(1, dtype=torch.int64), torch.arange(rows), torch.arange(columns)
    )
    return torch.cat([torch.zeros(text_length, 3, dtype=torch.int64), grid])
