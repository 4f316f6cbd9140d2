"""FLUX's transformer: the page to read first.

In: image and text tokens of all requests of a batch, each request's positions and its modulation
of this step. Out: a velocity for every image token. It knows no prompt, seed, schedule or file.

A batch is packed: the tokens of all requests are concatenated, whatever their sizes, steps and
guidance. What a step needs of a request's timestep, guidance and pooled text is computed once for
all its steps by `modulate`; so in `forward` no linear layer sees two requests in one row, and a
picture is bitwise the same alone and among others.

Source: black-forest-labs/flux src/flux/model.py `Flux`, with its names.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photogram.model.attention import Packing
from photogram.model.layers import (
    DoubleStreamBlock,
    LastLayer,
    MLPEmbedder,
    SingleStreamBlock,
    timestep_embedding,
)
from photogram.model.linear import Linear
from photogram.model.params import TIME_EMBED_DIM, FluxParams


class Flux(nn.Module):
    """The network of FLUX.1, over a packed batch."""

    def __init__(self, params: FluxParams) -> None:
        super().__init__()
        self.params = params
        size, num_heads = params.hidden_size, params.num_heads
        self.img_in = Linear(params.in_channels, size)
        self.txt_in = Linear(params.context_in_dim, size)
        self.time_in = MLPEmbedder(TIME_EMBED_DIM, size)
        self.vector_in = MLPEmbedder(params.vec_in_dim, size)
        self.guidance_in = MLPEmbedder(TIME_EMBED_DIM, size) if params.guidance_embed else None
        doubles = nn.ModuleList(DoubleStreamBlock(size, num_heads) for _ in range(params.depth))
        singles = nn.ModuleList(
            SingleStreamBlock(size, num_heads) for _ in range(params.depth_single_blocks)
        )
        # the casts tell a type checker what a ModuleList holds
        self.double_blocks = cast("Sequence[DoubleStreamBlock]", doubles)
        self.single_blocks = cast("Sequence[SingleStreamBlock]", singles)
        self.final_layer = LastLayer(size, params.out_channels)

    def forward(
        self,
        img: Tensor,
        txt: Tensor,
        pe: Sequence[Tensor],
        mods: Sequence[Tensor],
        packing: Packing,
    ) -> Tensor:
        """The velocity, noise minus picture, of every image token.

        Args:
            img: (sum of packing.img, in_channels).
            txt: (sum of packing.txt, context_in_dim).
            pe: Per request (its text and image length, head_dim / 2) complex64, from `rope`.
            mods: Per request its row of this step of what `modulate` returned.
            packing: The requests' lengths.

        Returns:
            (sum of packing.img, out_channels).
        """
        double_mods, single_mods, last_mod = self._mods_of_blocks(mods)
        img = self.img_in(img)
        txt = self.txt_in(txt)

        for double, mod in zip(self.double_blocks, double_mods, strict=True):
            img, txt = double(img, txt, mod, pe, packing)

        x = packing.join(txt, img)
        for single, mod in zip(self.single_blocks, single_mods, strict=True):
            x = single(x, mod, pe, packing.total)

        _, img = packing.part(x)
        velocity: Tensor = self.final_layer(img, last_mod, packing.img)
        return velocity

    def modulate(self, timesteps: Tensor, guidance: Tensor | None, vec: Tensor) -> Tensor:
        """All modulation vectors of one request, for all its steps.

        Args:
            timesteps: (S,) float32 in [0, 1].
            guidance: (1,) or (S,) float32; None where the network embeds none.
            vec: (1, vec_in_dim) or (S, vec_in_dim), the pooled text.

        Returns:
            (S, params.num_modulations, C), in the order in which the blocks use them, with the
            "1 +" of every scale added.

        Raises:
            ValueError: Guidance for a network without it, or none for one with it.
        """
        if (guidance is None) != (self.guidance_in is None):
            raise ValueError("guidance must be given exactly where the network embeds it")
        cond = self.time_in(timestep_embedding(timesteps).to(vec.dtype))
        if guidance is not None and self.guidance_in is not None:
            cond = cond + self.guidance_in(timestep_embedding(guidance).to(vec.dtype))
        cond = F.silu(cond + self.vector_in(vec))

        rows = []
        for double in self.double_blocks:
            rows += [double.img_mod(cond), double.txt_mod(cond)]
        rows += [single.modulation(cond) for single in self.single_blocks]
        packed = torch.cat([*rows, self.final_layer.adaln_modulation(cond)], dim=-1)
        vectors: Tensor = packed.unflatten(-1, (-1, self.params.hidden_size))
        # (shift, scale, gate) again and again, and (shift, scale) at the end: scales are 1, 4, 7...
        vectors[:, 1::3] += 1
        return vectors

    def _mods_of_blocks(
        self, mods: Sequence[Tensor]
    ) -> tuple[list[tuple[Tensor, ...]], list[tuple[Tensor, ...]], tuple[Tensor, ...]]:
        """Per request all vectors -> per block every request's: doubles, singles, last layer."""
        depth, depth_single = self.params.depth, self.params.depth_single_blocks
        sizes = [12] * depth + [3] * depth_single + [2]
        blocks = list(zip(*(mod.split(sizes) for mod in mods), strict=True))
        return blocks[:depth], blocks[depth:-1], blocks[-1]
