"""FLUX's transformer for training: padded batches, plain torch, with gradients.

Comes in: noisy image tokens, text tokens, the pooled vector, noise level and guidance of each sample. Goes
out: a velocity. Parameters have the names and shapes of diffusers' `FluxTransformer2DModel`, so that a trained
network is saved in its layout as it stands; the product's own network is for painting only and has no
gradients. Products that read the same input are done as one.
Source: black-forest-labs/flux, src/flux/model.py and modules/layers.py; names of diffusers 0.42,
models/transformers/transformer_flux.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name
from torch import Tensor, nn

EPS = 1e-6
TIME_WIDTH = 256
THETA = 10_000.0
IN_CHANNELS = 64


@dataclass(frozen=True, slots=True)
class Shape:
    """Widths and depths; the hidden width is `heads * head_width`."""

    heads: int
    head_width: int
    double_blocks: int
    single_blocks: int
    text_width: int
    pooled_width: int
    rope_axes: tuple[int, int, int]

    @property
    def width(self) -> int:
        """Hidden width."""
        return self.heads * self.head_width


def joint_linear(x: Tensor, layers: tuple[nn.Linear, ...]) -> tuple[Tensor, ...]:
    """Return the outputs of several layers for one input, by one product."""
    weight = torch.cat([layer.weight for layer in layers])
    bias = torch.cat([layer.bias for layer in layers])
    parts: tuple[Tensor, ...] = F.linear(x, weight, bias).split(
        [layer.out_features for layer in layers], -1
    )
    return parts


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return the layer norm of `x` (B, L, C), scaled and shifted by (B, C)."""
    norm = F.layer_norm(x, x.shape[-1:], eps=EPS)
    return torch.addcmul(shift[:, None], norm, 1 + scale[:, None])


def rotation(ids: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return cosines and sines (L, 1, head_width / 2) for positions (L, 3)."""
    angles = []
    for axis, width in enumerate(axes):
        steps = torch.arange(0, width, 2, dtype=torch.float64, device=ids.device) / width
        angles.append(torch.outer(ids[:, axis].double(), THETA**-steps))
    angle = torch.cat(angles, -1)[:, None]
    return angle.cos(), angle.sin()


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn neighbouring channels of (B, L, H, D) by the angles of their token."""
    cos, sin = turn
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


def attend(q: Tensor, k: Tensor, v: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Return (B, L, H * D) of queries, keys and values (B, L, H, D)."""
    q, k, v = (x.transpose(1, 2) for x in (rotate(q, turn), rotate(k, turn), v))
    out = F.scaled_dot_product_attention(q, k, v)
    return out.transpose(1, 2).flatten(2)


class Modulation(nn.Module):
    """Shifts, scales and gates from the conditioning vector."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.linear = nn.Linear(width, count * width)

    def forward(self, vec: Tensor) -> tuple[Tensor, ...]:
        """Return `count` vectors (B, C) of the already activated `vec` (B, C)."""
        parts: tuple[Tensor, ...] = self.linear(vec).chunk(self.count, 1)
        return parts


class Activation(nn.Module):
    """The first layer of an MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, L, 4 C)."""
        return F.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    """An MLP; its middle entry is where diffusers has dropout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(Activation(width), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, L, C)."""
        return self.net(x)  # type: ignore[no-any-return]


class JointAttention(nn.Module):
    """The layers of attention over text and image in a double block."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.norm_q, self.norm_k = (
            nn.RMSNorm(shape.head_width, EPS),
            nn.RMSNorm(shape.head_width, EPS),
        )
        self.norm_added_q, self.norm_added_k = (
            nn.RMSNorm(shape.head_width, EPS),
            nn.RMSNorm(shape.head_width, EPS),
        )
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.add_q_proj, self.add_k_proj, self.add_v_proj = (
            nn.Linear(width, width) for _ in range(3)
        )
        self.to_out = nn.ModuleList([nn.Linear(width, width)])
        self.to_add_out = nn.Linear(width, width)

    def forward(
        self, img: Tensor, txt: Tensor, turn: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return what image and text tokens gather from all tokens."""
        shape = (self.heads, -1)
        q, k, v = (
            x.unflatten(-1, shape) for x in joint_linear(img, (self.to_q, self.to_k, self.to_v))
        )
        added = (self.add_q_proj, self.add_k_proj, self.add_v_proj)
        txt_q, txt_k, txt_v = (x.unflatten(-1, shape) for x in joint_linear(txt, added))
        q = torch.cat([self.norm_added_q(txt_q), self.norm_q(q)], 1)
        k = torch.cat([self.norm_added_k(txt_k), self.norm_k(k)], 1)
        out = attend(q, k, torch.cat([txt_v, v], 1), turn)
        length = txt.shape[1]
        return self.to_out[0](out[:, length:]), self.to_add_out(out[:, :length])


class DoubleBlock(nn.Module):
    """Text and image with weights of their own, attending together."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.norm1, self.norm1_context = Modulation(width, 6), Modulation(width, 6)
        self.attn = JointAttention(shape)
        self.ff, self.ff_context = FeedForward(width), FeedForward(width)

    def forward(
        self, img: Tensor, txt: Tensor, vec: Tensor, turn: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return both streams after the block."""
        mods, txt_mods = self.norm1(vec), self.norm1_context(vec)
        out, txt_out = self.attn(modulate(img, *mods[:2]), modulate(txt, *txt_mods[:2]), turn)
        img = torch.addcmul(img, mods[2][:, None], out)
        txt = torch.addcmul(txt, txt_mods[2][:, None], txt_out)
        img = torch.addcmul(img, mods[5][:, None], self.ff(modulate(img, *mods[3:5])))
        txt_ff = self.ff_context(modulate(txt, *txt_mods[3:5]))
        return img, torch.addcmul(txt, txt_mods[5][:, None], txt_ff)


class SingleAttention(nn.Module):
    """The layers of attention in a single block; the block projects out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm_q, self.norm_k = (
            nn.RMSNorm(shape.head_width, EPS),
            nn.RMSNorm(shape.head_width, EPS),
        )
        self.to_q, self.to_k, self.to_v = (nn.Linear(shape.width, shape.width) for _ in range(3))


class SingleBlock(nn.Module):
    """Attention and MLP side by side over all tokens."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.norm = Modulation(width, 3)
        self.proj_mlp = nn.Linear(width, 4 * width)
        self.proj_out = nn.Linear(5 * width, width)
        self.attn = SingleAttention(shape)

    def forward(self, x: Tensor, vec: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        """Return all tokens after the block."""
        shift, scale, gate = self.norm(vec)
        layers = (self.attn.to_q, self.attn.to_k, self.attn.to_v, self.proj_mlp)
        *qkv, mlp = joint_linear(modulate(x, shift, scale), layers)
        q, k, v = (part.unflatten(-1, (self.heads, -1)) for part in qkv)
        out = attend(self.attn.norm_q(q), self.attn.norm_k(k), v, turn)
        joined = torch.cat([out, F.gelu(mlp, approximate="tanh")], -1)
        return torch.addcmul(x, gate[:, None], self.proj_out(joined))


class Embedder(nn.Module):
    """Two layers with a SiLU between."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(inputs, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C)."""
        return self.linear_2(F.silu(self.linear_1(x)))  # type: ignore[no-any-return]


class Conditioning(nn.Module):
    """Noise level, guidance and pooled text in one vector."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.timestep_embedder = Embedder(TIME_WIDTH, shape.width)
        self.guidance_embedder = Embedder(TIME_WIDTH, shape.width)
        self.text_embedder = Embedder(shape.pooled_width, shape.width)

    def forward(self, sigma: Tensor, guidance: Tensor, pooled: Tensor) -> Tensor:
        """Return (B, C) of (B,), (B,) and (B, P)."""
        time = self.timestep_embedder(waves(sigma).to(pooled.dtype))
        strength = self.guidance_embedder(waves(guidance).to(pooled.dtype))
        return time + strength + self.text_embedder(pooled)  # type: ignore[no-any-return]


def waves(x: Tensor) -> Tensor:
    """Return cosines and sines (B, TIME_WIDTH) of (B,) fp32."""
    half = TIME_WIDTH // 2
    steps = torch.arange(half, device=x.device) / half
    angle = (x.float() * 1000)[:, None] * torch.exp(-math.log(THETA) * steps)
    return torch.cat([angle.cos(), angle.sin()], -1)


class Transformer(nn.Module):
    """The whole network."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.time_text_embed = Conditioning(shape)
        self.context_embedder = nn.Linear(shape.text_width, shape.width)
        self.x_embedder = nn.Linear(IN_CHANNELS, shape.width)
        self.transformer_blocks = nn.ModuleList(
            DoubleBlock(shape) for _ in range(shape.double_blocks)
        )
        self.single_transformer_blocks = nn.ModuleList(
            SingleBlock(shape) for _ in range(shape.single_blocks)
        )
        self.norm_out = Modulation(shape.width, 2)
        self.proj_out = nn.Linear(shape.width, IN_CHANNELS)

    def forward(
        self,
        img: Tensor,
        ids: Tensor,
        text: tuple[Tensor, Tensor],
        sigma: Tensor,
        guidance: Tensor,
    ) -> Tensor:
        """Return the velocity.

        Args:
            img: (B, L, 64) noisy tokens.
            ids: (L, 3) positions of the image tokens; text tokens are at zero.
            text: (B, T, D) of T5 and (B, P) of CLIP.
            sigma: (B,) noise levels in [0, 1].
            guidance: (B,) guidance scales.
        """
        tokens, pooled = text
        vec = F.silu(self.time_text_embed(sigma, guidance, pooled))
        img, txt = self.x_embedder(img), self.context_embedder(tokens)
        positions = torch.cat([ids.new_zeros(txt.shape[1], 3), ids])
        cos, sin = rotation(positions, self.shape.rope_axes)
        turn = (cos.to(img.dtype), sin.to(img.dtype))
        for block in self.transformer_blocks:
            img, txt = block(img, txt, vec, turn)
        x = torch.cat([txt, img], 1)
        for block in self.single_transformer_blocks:
            x = block(x, vec, turn)
        scale, shift = self.norm_out(vec)
        return self.proj_out(modulate(x[:, txt.shape[1] :], shift, scale))  # type: ignore[no-any-return]
