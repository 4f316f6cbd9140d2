"""The blocks of FLUX, over packed tokens.

In: token streams of all requests, concatenated, and each request's own modulation vectors. Out:
the streams after the block. Linear layers run over all tokens at once; what depends on a request
(modulation, positions, attention, its adapters) runs on its tokens alone, so that a result never depends on what
else is in the batch. It knows no timestep, no prompt and no schedule.

Source: black-forest-labs/flux src/flux/modules/layers.py, with its names. What differs: packed
tokens instead of a padded batch; modulation vectors are an input, computed once for all steps.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photogram.model.adapters import Adapters, add_updates, multiply, multiply_gelu
from photogram.model.attention import Packing, attention, pack, unpack
from photogram.model.linear import Linear
from photogram.model.params import MLP_RATIO, THETA, TIME_EMBED_DIM
from photogram.model.rope import apply_rope

EPS = 1e-6


Mods = Sequence[Tensor]
"""One request's modulation vectors of one block at one step, each (C,): shift, scale and gate for
every norm. A scale is the whole factor: the "1 +" of the paper is already in it."""


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

    def forward(self, x: Tensor, own: Adapters = ()) -> Tensor:
        x = F.silu(add_updates(self.in_layer(x), x, self.in_layer, own))
        return add_updates(self.out_layer(x), x, self.out_layer, own)


class QKNorm(nn.Module):
    """Root mean square norm of queries and keys; `scale` holds the queries' and the keys' weights."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(2, head_dim))

    def forward(self, qk: Tensor) -> Tensor:
        """(L, 2, H, D) float32, normalised in place: fresh memory costs more than the arithmetic."""
        size = torch.linalg.vector_norm(qk, dim=-1, keepdim=True)
        mean_square = size.square_().div_(qk.shape[-1])
        return qk.mul_(mean_square.add_(EPS).rsqrt_()).mul_(self.scale[:, None])


class SelfAttention(nn.Module):
    """One stream's projections into and out of the joint attention."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.qkv = Linear(hidden_size, 3 * hidden_size)
        self.norm = QKNorm(hidden_size // num_heads)
        self.proj = Linear(hidden_size, hidden_size)


def project(
    x: Tensor,
    qkv: Linear,
    norm: QKNorm,
    pe: Sequence[Tensor],
    lengths: tuple[int, ...],
    adapters: Sequence[Adapters],
) -> Tensor:
    """What a stream brings to attention: its queries and keys normalised and turned.

    Norm and rotation are in float32: in bfloat16 they are most of a picture's error.

    Args:
        x: (L, C), modulated.
        qkv: The stream's projection.
        norm: Of its queries and keys.
        pe: Per request the positions of these tokens, (its length, D / 2, 2) float32.
        lengths: Per request; their sum is L.
        adapters: Per request; empty where nobody has any.

    Returns:
        (L, 3, H, D): queries, keys, values.
    """
    y = multiply(qkv, x, lengths, adapters)
    heads: Tensor = y.unflatten(-1, (3, -1, norm.scale.shape[-1]))
    for request, positions in zip(unpack(heads, lengths), pe, strict=True):
        qk = request[:, :2]
        qk.copy_(apply_rope(norm(qk.float()), positions))
    return heads


class MLP(nn.Module):
    """(L, C) -> (L, C) through a GELU (tanh form) of `MLP_RATIO` times the width."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.in_layer = Linear(hidden_size, MLP_RATIO * hidden_size)
        self.out_layer = Linear(MLP_RATIO * hidden_size, hidden_size)

    def forward(self, x: Tensor, lengths: tuple[int, ...], adapters: Sequence[Adapters]) -> Tensor:
        x = multiply_gelu(self.in_layer, x, lengths, adapters)
        return multiply(self.out_layer, x, lengths, adapters)


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
        mods: Sequence[Mods],
        pe: Sequence[Tensor],
        packing: Packing,
        adapters: Sequence[Adapters],
    ) -> tuple[Tensor, Tensor]:
        """Both streams after the block.

        Args:
            img: (sum of packing.img, C).
            txt: (sum of packing.txt, C).
            mods: Per request 12 vectors: image before attention and before MLP, text the same.
            pe: Per request (its text and image length, head_dim / 2, 2) float32.
            packing: The requests' lengths.
            adapters: Per request; empty where nobody has any.
        """
        img_mods, txt_mods = [mod[:6] for mod in mods], [mod[6:] for mod in mods]
        img_mod = modulate(img, img_mods, packing.img)
        txt_mod = modulate(txt, txt_mods, packing.txt)
        img_pe = [each[length:] for each, length in zip(pe, packing.txt, strict=True)]
        txt_pe = [each[:length] for each, length in zip(pe, packing.txt, strict=True)]
        img_attn, txt_attn = self.img_attn, self.txt_attn
        img_heads = project(img_mod, img_attn.qkv, img_attn.norm, img_pe, packing.img, adapters)
        txt_heads = project(txt_mod, txt_attn.qkv, txt_attn.norm, txt_pe, packing.txt, adapters)
        txt_y, img_y = packing.part(attention(packing.join(txt_heads, img_heads), packing))

        img_y = multiply(img_attn.proj, img_y, packing.img, adapters)
        img = add_gated(img, img_y, img_mods, packing.img)
        img_mods = [mod[3:] for mod in img_mods]
        img_mod = modulate(img, img_mods, packing.img)
        img_y = self.img_mlp(img_mod, packing.img, adapters)
        img = add_gated(img, img_y, img_mods, packing.img)

        txt_y = multiply(txt_attn.proj, txt_y, packing.txt, adapters)
        txt = add_gated(txt, txt_y, txt_mods, packing.txt)
        txt_mods = [mod[3:] for mod in txt_mods]
        txt_mod = modulate(txt, txt_mods, packing.txt)
        txt_y = self.txt_mlp(txt_mod, packing.txt, adapters)
        txt = add_gated(txt, txt_y, txt_mods, packing.txt)
        return img, txt


class SingleStreamBlock(nn.Module):
    """Attention and MLP side by side over one stream.

    Source: "Scaling Vision Transformers to 22 Billion Parameters" (arXiv:2302.05442), section 2.
    `qkv` and `mlp` are one layer in BFL's `linear1`; `linear2` is both outputs, as there.
    """

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.qkv = Linear(hidden_size, 3 * hidden_size)
        self.mlp = Linear(hidden_size, MLP_RATIO * hidden_size)
        self.linear2 = Linear((1 + MLP_RATIO) * hidden_size, hidden_size)
        self.norm = QKNorm(hidden_size // num_heads)
        self.modulation = Linear(hidden_size, 3 * hidden_size)

    def forward(
        self,
        x: Tensor,
        mods: Sequence[Mods],
        pe: Sequence[Tensor],
        packing: Packing,
        adapters: Sequence[Adapters],
        *,
        image_only: bool,
    ) -> Tensor:
        """The stream after the block.

        Args:
            x: (sum of packing.total, C), text and image of every request.
            mods: Per request 3 vectors.
            pe: Per request (its text and image length, head_dim / 2, 2) float32.
            packing: The requests' lengths.
            adapters: Per request; empty where nobody has any.
            image_only: Return the image's rows alone. Text is still attended to; what becomes of it
                is not computed, for behind the last block nothing asks.
        """
        x_mod = modulate(x, mods, packing.total)
        heads = project(x_mod, self.qkv, self.norm, pe, packing.total, adapters)
        attn = attention(heads, packing, image_asks=image_only)
        lengths = packing.total
        if image_only:
            x, x_mod, lengths = packing.part(x)[1], packing.part(x_mod)[1], packing.img
        mlp = multiply_gelu(self.mlp, x_mod, lengths, adapters)
        y = multiply(self.linear2, torch.cat([attn, mlp], dim=-1), lengths, adapters)
        return add_gated(x, y, mods, lengths)


class LastLayer(nn.Module):
    """The image stream to a velocity per token."""

    def __init__(self, hidden_size: int, out_channels: int) -> None:
        super().__init__()
        self.linear = Linear(hidden_size, out_channels)
        # Rows are (shift, scale), BFL's order. diffusers stores (scale, shift) in its
        # norm_out.linear, in this one layer only: weights.keymap swaps the halves.
        self.adaln_modulation = Linear(hidden_size, 2 * hidden_size)

    def forward(
        self,
        x: Tensor,
        mods: Sequence[Mods],
        lengths: tuple[int, ...],
        adapters: Sequence[Adapters],
    ) -> Tensor:
        """(L, C) -> (L, out_channels); mods: per request 2 vectors, shift and scale."""
        return multiply(self.linear, modulate(x, mods, lengths), lengths, adapters)


def modulate(x: Tensor, mods: Sequence[Mods], lengths: tuple[int, ...]) -> Tensor:
    """Layer norm of every token, then each request's own scale and shift: (L, C) -> (L, C)."""
    pieces = zip(unpack(x, lengths), mods, strict=True)
    # one kernel: the norm's affine weights are the request's modulation
    return pack([F.layer_norm(piece, mod[0].shape, mod[1], mod[0], EPS) for piece, mod in pieces])


def add_gated(x: Tensor, y: Tensor, mods: Sequence[Mods], lengths: tuple[int, ...]) -> Tensor:
    """The residual connection ``x + gate * y`` with each request's own gate: (L, C) -> (L, C)."""
    pieces = zip(unpack(x, lengths), unpack(y, lengths), mods, strict=True)
    return pack([torch.addcmul(x_piece, mod[2], y_piece) for x_piece, y_piece, mod in pieces])
