"""The decoder of FLUX's autoencoder: latents to pixels.

In: one picture's latents, unscaled. Out: its pixels. It knows no tokens, no batch and no file; its
parameters have diffusers' names, but for the kernels of `Upsample`.

Source: "High-Resolution Image Synthesis with Latent Diffusion Models" (arXiv:2112.10752);
huggingface/diffusers models/autoencoders/vae.py `Decoder`. What differs: a doubling of the picture
and the 3x3 convolution after it are one transposed convolution, 4/9 of the multiplications; and
large levels are normed and convolved in strips of rows, which takes little more than half of the
memory. diffusers' tiles take less, but each has norms and an attention of its own, and so other
colours, which are blended; strips share the whole picture's norms, and paint the same picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPS = 1e-6

NUMBERS_AT_ONCE = 2**24
"""A strip has so many; what has no more is worked on at once."""


@dataclass(frozen=True, slots=True)
class DecoderParams:
    """Numbers of one decoder, as ``vae/config.json`` states them.

    Attributes:
        channels: Of the encoder's levels, from the picture inwards; the decoder goes back.
        num_resnets: Residual blocks of a level.
        num_groups: Of every group norm.
        has_attention: The innermost level attends over all its pixels.
    """

    latent_channels: int
    channels: tuple[int, ...]
    num_resnets: int
    num_groups: int
    has_attention: bool


def convolve(x: Tensor, norm: nn.GroupNorm, conv: nn.Conv2d) -> Tensor:
    """``conv(silu(norm(x)))``: (B, C_in, h, w) -> (B, C_out, h, w), with a kernel of 3x3."""
    if x.numel() <= NUMBERS_AT_ONCE:
        y: Tensor = conv(F.silu(norm(x), inplace=True))
        return y
    height, width = x.shape[2:]
    num_rows = max(NUMBERS_AT_ONCE // (x.numel() // height), 1)
    scale, shift = _scale_and_shift(x.split(num_rows, dim=2), norm)
    out = torch.empty(
        (len(x), conv.out_channels, height, width),
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last,
    )
    for begin in range(0, height, num_rows):
        end = min(begin + num_rows, height)
        above, below = int(begin > 0), int(end < height)  # rows of the neighbours, or zeros
        strip = torch.addcmul(shift, x[:, :, begin - above : end + below], scale)
        strip = F.pad(F.silu(strip, inplace=True).to(x.dtype), (0, 0, 1 - above, 1 - below))
        out[:, :, begin:end] = F.conv2d(strip, conv.weight, conv.bias, padding=(0, 1))
    return out


def _scale_and_shift(strips: Sequence[Tensor], norm: nn.GroupNorm) -> tuple[Tensor, Tensor]:
    """What a group norm multiplies by and adds, twice (B, C, 1, 1) float32, found strip by strip."""
    found = [
        torch.var_mean(strip.float().unflatten(1, (norm.num_groups, -1)), (2, 3, 4), correction=0)
        for strip in strips
    ]
    rows = torch.tensor([strip.shape[2] for strip in strips], device=strips[0].device)
    share = (rows / rows.sum()).double()[:, None, None]
    variances, means = (torch.stack(each).double() for each in zip(*found, strict=True))
    mean = (share * means).sum(0)
    variance = (share * (variances + means**2)).sum(0) - mean**2
    size = norm.num_channels // norm.num_groups
    scale = (variance + norm.eps).rsqrt().repeat_interleave(size, 1) * norm.weight
    shift = norm.bias - mean.repeat_interleave(size, 1) * scale
    return scale.float()[..., None, None], shift.float()[..., None, None]


class Resnet(nn.Module):
    """A residual block: (B, C_in, h, w) -> (B, C_out, h, w)."""

    def __init__(self, in_channels: int, out_channels: int, num_groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(num_groups, in_channels, _EPS)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(num_groups, out_channels, _EPS)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = (
            nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = convolve(convolve(x, self.norm1, self.conv1), self.norm2, self.conv2)
        return y.add_(x if self.conv_shortcut is None else self.conv_shortcut(x))


class Attention(nn.Module):
    """One head over all pixels, added to them: (B, C, h, w) -> (B, C, h, w)."""

    def __init__(self, channels: int, num_groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(num_groups, channels, _EPS)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        pixels = self.group_norm(x).flatten(2).transpose(1, 2)  # (B, C, h, w) -> (B, h * w, C)
        q, k, v = (layer(pixels)[:, None] for layer in (self.to_q, self.to_k, self.to_v))
        y: Tensor = self.to_out[0](F.scaled_dot_product_attention(q, k, v)[:, 0])
        return x + y.transpose(1, 2).view(x.shape)


class Upsample(nn.Module):
    """Every pixel four times, then a 3x3 convolution: (B, C, h, w) -> (B, C, 2h, 2w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


def upsampling_kernel(weight: Tensor) -> Tensor:
    """The kernel of `Upsample` that does what a 3x3 one does to a doubled picture.

    Of the four copies of a pixel a 3x3 window sees one, two or four; their weights are summed.

    Args:
        weight: (C_out, C_in, 3, 3).

    Returns:
        (C_in, C_out, 4, 4), in the same dtype.
    """
    sums = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], device=weight.device)
    return torch.einsum("uy,vx,oiyx->iouv", sums, sums, weight.float()).to(weight.dtype)


class MidBlock(nn.Module):
    """The innermost level."""

    def __init__(self, channels: int, num_groups: int, *, has_attention: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(channels, channels, num_groups) for _ in range(2))
        self.attentions = nn.ModuleList([Attention(channels, num_groups)] if has_attention else [])

    def forward(self, x: Tensor) -> Tensor:
        first, last = self.resnets
        x = first(x)
        for attention in self.attentions:
            x = attention(x)
        y: Tensor = last(x)
        return y


class UpBlock(nn.Module):
    """One level, and but for the outermost the way to the next, twice as large."""

    def __init__(
        self, in_channels: int, out_channels: int, params: DecoderParams, *, is_last: bool
    ) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * params.num_resnets
        self.resnets = nn.ModuleList(
            Resnet(width, out_channels, params.num_groups) for width in widths[:-1]
        )
        self.upsamplers = nn.ModuleList([] if is_last else [Upsample(out_channels)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.resnets, *self.upsamplers):
            x = layer(x)
        return x


class Decoder(nn.Module):
    """(B, latent_channels, h, w) -> (B, 3, h * factor, w * factor), about -1 to 1."""

    def __init__(self, params: DecoderParams) -> None:
        super().__init__()
        widths = [params.channels[-1], *reversed(params.channels)]
        self.conv_in = nn.Conv2d(params.latent_channels, widths[0], 3, padding=1)
        self.mid_block = MidBlock(widths[0], params.num_groups, has_attention=params.has_attention)
        self.up_blocks = nn.Sequential(
            *(
                UpBlock(widths[i], widths[i + 1], params, is_last=i == len(widths) - 2)
                for i in range(len(widths) - 1)
            )
        )
        self.conv_norm_out = nn.GroupNorm(params.num_groups, widths[-1], _EPS)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up_blocks(self.mid_block(self.conv_in(x)))
        return convolve(x, self.conv_norm_out, self.conv_out)
