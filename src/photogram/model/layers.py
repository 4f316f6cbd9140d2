"""The blocks of FLUX, over packed tokens.

In: token streams of all requests, concatenated, and each request's own modulation vectors. Out:
the streams after the block. Linear layers run over all tokens at once; what depends on a request
(modulation, positions, attention) runs on its tokens alone, so that a result never depends on what
else is in the batch. It knows no timestep, no prompt and no schedule.

Source: black-forest-labs/flux src/flux/modules/layers.py, with its names. What differs: packed
tokens instead of a padded batch; modulation vectors are an input, computed once for all steps.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photogram.model.attention import Packing, attention, pack
from photogram.model.linear import Linear, linear, linear_gelu
from photogram.model.params import MLP_RATIO, THETA, TIME_EMBED_DIM

EPS = 1e-6


@dataclass(frozen=True, slots=True)
class Modulation:
    """What one request's conditioning does to one norm at one step; each (C,).

    `scale` is the whole factor: the "1 +" of the paper is already in it.
    """

    shift: Tensor
    scale: Tensor
    gate: Tensor


def timestep_embedding(t: Tensor) -> Tensor:
    """Sines and cosines of a timestep or a guidance scale.

    Args:
        t: (S,) float32; timesteps in [0, 1], guidance as it is.

    Returns:
        (S, TIME_EMBED_DIM) float32, cosines first.
    """
    half = TIME_EMBED_DIM // 2
    exponent = -math.log(THETA) * torch.arange(half, dtype=torch.float32, device=t.device) / half
    angle = (t * 1000.0)[:, None] * exponent.exp()
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class MLPEmbedder(nn.Module):
    """(S, in_dim) -> (S, hidden_dim)."""

    def __init__(self, in_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.in_layer = Linear(in_dim, hidden_dim)
        self.out_layer = Linear(hidden_dim, hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_layer(F.silu(self.in_layer(x)))


class QKNorm(nn.Module):
    """Root mean square norm of queries and keys; `scale` holds the queries' and the keys' weights."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(2, head_dim))

    def forward(self, qk: Tensor) -> Tensor:
        """(L, 2, H, D) -> the same in float32."""
        return F.rms_norm(qk.float(), qk.shape[-1:], eps=EPS) * self.scale[:, None]


class SelfAttention(nn.Module):
    """One stream's projections into and out of the joint attention."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = Linear(hidden_size, 3 * hidden_size)
        self.norm = QKNorm(hidden_size // num_heads)
        self.proj = Linear(hidden_size, hidden_size)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(L, C) -> qk (L, 2, H, D) float32 and v (L, H, D)."""
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))
        return self.norm(qkv[:, :2]), qkv[:, 2]


class MLP(nn.Module):
    """(L, C) -> (L, C) through a GELU (tanh form) of `MLP_RATIO` times the width."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.in_layer = Linear(hidden_size, MLP_RATIO * hidden_size)
        self.out_layer = Linear(MLP_RATIO * hidden_size, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_layer(linear_gelu(x, self.in_layer.weight, self.in_layer.bias))


class DoubleStreamBlock(nn.Module):
    """Image and text in streams of their own, joined in attention.

    Source: "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis"
    (arXiv:2403.03206), figure 2b.
    """

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.img_attn = SelfAttention(hidden_size, num_heads)
        self.img_mlp = MLP(hidden_size)
        self.img_mod = Linear(hidden_size, 6 * hidden_size)
        self.txt_attn = SelfAttention(hidden_size, num_heads)
        self.txt_mlp = MLP(hidden_size)
        self.txt_mod = Linear(hidden_size, 6 * hidden_size)

    def forward(
        self,
        img: Tensor,
        txt: Tensor,
        mods: Sequence[Tensor],
        pe: Sequence[Tensor],
        packing: Packing,
    ) -> tuple[Tensor, Tensor]:
        """Both streams after the block.

        Args:
            img: (sum of packing.img, C).
            txt: (sum of packing.txt, C).
            mods: Per request (12, C): image before attention and before MLP, text the same.
            pe: Per request (its text and image length, head_dim / 2) complex64.
            packing: The requests' lengths.
        """
        img_mod1, img_mod2, txt_mod1, txt_mod2 = _modulations(mods)
        img_qk, img_v = self.img_attn.project(modulate(img, img_mod1, packing.img))
        txt_qk, txt_v = self.txt_attn.project(modulate(txt, txt_mod1, packing.txt))
        attn = attention(
            packing.join(txt_qk, img_qk), packing.join(txt_v, img_v), pe, packing.total
        )
        txt_attn, img_attn = packing.part(attn)

        img = add_gated(img, self.img_attn.proj(img_attn), img_mod1, packing.img)
        img_mlp = self.img_mlp(modulate(img, img_mod2, packing.img))
        img = add_gated(img, img_mlp, img_mod2, packing.img)

        txt = add_gated(txt, self.txt_attn.proj(txt_attn), txt_mod1, packing.txt)
        txt_mlp = self.txt_mlp(modulate(txt, txt_mod2, packing.txt))
        txt = add_gated(txt, txt_mlp, txt_mod2, packing.txt)
        return img, txt


class SingleStreamBlock(nn.Module):
    """Attention and MLP side by side over one stream.

    Source: "Scaling Vision Transformers to 22 Billion Parameters" (arXiv:2302.05442), section 2.
    `linear1` is the qkv projection and the MLP's first layer in one, `linear2` both outputs.
    """

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.hidden_size, self.num_heads = hidden_size, num_heads
        self.linear1 = Linear(hidden_size, (3 + MLP_RATIO) * hidden_size)
        self.linear2 = Linear((1 + MLP_RATIO) * hidden_size, hidden_size)
        self.norm = QKNorm(hidden_size // num_heads)
        self.modulation = Linear(hidden_size, 3 * hidden_size)

    def forward(
        self, x: Tensor, mods: Sequence[Tensor], pe: Sequence[Tensor], lengths: tuple[int, ...]
    ) -> Tensor:
        """The stream after the block.

        Args:
            x: (sum of lengths, C), text and image of every request.
            mods: Per request (3, C).
            pe: Per request (its length, head_dim / 2) complex64.
            lengths: Tokens per request.
        """
        (mod,) = _modulations(mods)
        x_mod = modulate(x, mod, lengths)
        # two products of one weight: only the MLP's part goes through the GELU
        qkv_size = 3 * self.hidden_size
        weight, bias = self.linear1.weight, self.linear1.bias
        qkv = linear(x_mod, weight[:qkv_size], bias[:qkv_size])
        mlp = linear_gelu(x_mod, weight[qkv_size:], bias[qkv_size:])
        qkv = qkv.unflatten(-1, (3, self.num_heads, -1))
        attn = attention(self.norm(qkv[:, :2]), qkv[:, 2], pe, lengths)
        return add_gated(x, self.linear2(torch.cat([attn, mlp], dim=-1)), mod, lengths)


class LastLayer(nn.Module):
    """The image stream to a velocity per token."""

    def __init__(self, hidden_size: int, out_channels: int) -> None:
        super().__init__()
        self.linear = Linear(hidden_size, out_channels)
        # Rows are (shift, scale), BFL's order. diffusers stores (scale, shift) in its
        # norm_out.linear, in this one layer only: weights.keymap swaps the halves.
        self.adaln_modulation = Linear(hidden_size, 2 * hidden_size)

    def forward(self, x: Tensor, mods: Sequence[Tensor], lengths: tuple[int, ...]) -> Tensor:
        """(L, C) -> (L, out_channels); mods: per request (2, C), shift and scale."""
        pieces = zip(x.split(lengths), mods, strict=True)
        return self.linear(pack([_norm(piece, mod[1], mod[0]) for piece, mod in pieces]))


def modulate(x: Tensor, mods: Sequence[Modulation], lengths: tuple[int, ...]) -> Tensor:
    """Layer norm of every token, then each request's own scale and shift: (L, C) -> (L, C)."""
    pieces = zip(x.split(lengths), mods, strict=True)
    return pack([_norm(piece, mod.scale, mod.shift) for piece, mod in pieces])


def add_gated(x: Tensor, y: Tensor, mods: Sequence[Modulation], lengths: tuple[int, ...]) -> Tensor:
    """The residual connection ``x + gate * y`` with each request's own gate: (L, C) -> (L, C)."""
    pieces = zip(x.split(lengths), y.split(lengths), mods, strict=True)
    return pack([torch.addcmul(x_piece, mod.gate, y_piece) for x_piece, y_piece, mod in pieces])


def _norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    # one kernel: the norm's affine weights are the request's modulation
    return F.layer_norm(x, x.shape[-1:], scale, shift, EPS)


def _modulations(mods: Sequence[Tensor]) -> list[list[Modulation]]:
    """Per request (3 * N, C) -> N lists of one `Modulation` per request."""
    vectors = [mod.unbind() for mod in mods]
    return [
        [Modulation(*request[start : start + 3]) for request in vectors]
        for start in range(0, len(vectors[0]), 3)
    ]
