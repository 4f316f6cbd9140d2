"""FLUX's transformer: the page to read first.

In: image and text tokens of all requests of a batch, each request's positions and its modulation
of this step. Out: a velocity for every image token. It knows no prompt, seed, schedule or file.

A batch is packed: the tokens of all requests are concatenated, whatever their sizes, steps and
guidance. What a step needs of a request's timestep, guidance and pooled text is computed once for
all its steps by `modulate`; so in `forward` no linear layer sees two requests in one row, and a
picture is bitwise the same alone and among others.

Source: black-forest-labs/flux src/flux/model.py `Flux`, with its names.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photogram.model.adapters import Adapters, add_updates, multiply
from photogram.model.attention import Packing
from photogram.model.layers import (
    DoubleStreamBlock,
    LastLayer,
    MLPEmbedder,
    Mods,
    SingleStreamBlock,
    timestep_embedding,
)
from photogram.model.linear import Linear, linear
from photogram.model.params import TIME_EMBED_DIM, FluxParams

ALL = slice(None)


class BlockMods(NamedTuple):
    """The modulation of one step: of every double block, every single block and the last layer."""

    double: list[list[Mods]]
    single: list[list[Mods]]
    last: list[Mods]


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
        adapters: Sequence[Adapters] = (),
    ) -> Tensor:
        """The velocity, noise minus picture, of every image token.

        Args:
            img: (sum of packing.img, in_channels).
            txt: (sum of packing.txt, context_in_dim).
            pe: Per request (its text and image length, head_dim / 2, 2) float32, from `rope`.
            mods: Per request its row of this step of what `modulate` returned.
            packing: The requests' lengths.
            adapters: Per request; empty where nobody has any.

        Returns:
            (sum of packing.img, out_channels).
        """
        of_blocks = self.mods_of_blocks(mods)
        img = multiply(self.img_in, img, packing.img, adapters)
        txt = multiply(self.txt_in, txt, packing.txt, adapters)
        img, txt = self.run_doubles(img, txt, pe, of_blocks, packing, adapters)
        img = self.run_singles(img, txt, pe, of_blocks, packing, adapters)
        return self.end(img, of_blocks, packing, adapters)

    def run_doubles(
        self,
        img: Tensor,
        txt: Tensor,
        pe: Sequence[Tensor],
        mods: BlockMods,
        packing: Packing,
        adapters: Sequence[Adapters],
        which: slice = ALL,
    ) -> tuple[Tensor, Tensor]:
        """Both streams after double blocks: (sum of packing.img, C) and (sum of packing.txt, C)."""
        for double, mod in zip(self.double_blocks[which], mods.double[which], strict=True):
            img, txt = double(img, txt, mod, pe, packing, adapters)
        return img, txt

    def run_singles(
        self,
        img: Tensor,
        txt: Tensor,
        pe: Sequence[Tensor],
        mods: BlockMods,
        packing: Packing,
        adapters: Sequence[Adapters],
    ) -> Tensor:
        """The image stream after all single blocks: (sum of packing.img, C)."""
        if not self.single_blocks:
            return img
        *inner, last = zip(self.single_blocks, mods.single, strict=True)
        x = packing.join(txt, img)
        for single, mod in inner:
            x = single(x, mod, pe, packing, adapters, image_only=False)
        single, mod = last
        image: Tensor = single(x, mod, pe, packing, adapters, image_only=True)
        return image

    def end(
        self, img: Tensor, mods: BlockMods, packing: Packing, adapters: Sequence[Adapters]
    ) -> Tensor:
        """The velocity that the image stream becomes behind the last block."""
        velocity: Tensor = self.final_layer(img, mods.last, packing.img, adapters)
        return velocity

    def replace(self, make: Callable[[Linear], Linear]) -> None:
        """Put other linear layers into the blocks, all but the modulation.

        They are nearly all of a step's products; what comes before and after the blocks stays.

        Args:
            make: A layer -> the one that shall be in its place.
        """
        for block in (*self.double_blocks, *self.single_blocks):
            for name, layer in list(block.named_modules()):
                if isinstance(layer, Linear) and "mod" not in name:
                    block.set_submodule(name, make(layer))

    def prepack(self) -> None:
        """Bring all weights into the CPU's order; afterwards they can be neither saved nor moved."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.prepack()

    def modulate(
        self, timesteps: Tensor, guidance: Tensor | None, vec: Tensor, own: Adapters = ()
    ) -> Tensor:
        """All modulation vectors of one request, for all its steps.

        Args:
            timesteps: (S,) float32 in [0, 1].
            guidance: (1,) or (S,) float32; None where the network embeds none.
            vec: (1, vec_in_dim) or (S, vec_in_dim), the pooled text.
            own: The request's adapters.

        Returns:
            (S, params.num_modulations, C), in the order in which the blocks use them, with the
            "1 +" of every scale added.

        Raises:
            ValueError: Guidance for a network without it, or none for one with it.
        """
        if (guidance is None) != (self.guidance_in is None):
            raise ValueError("guidance must be given exactly where the network embeds it")
        cond = self.time_in(timestep_embedding(timesteps).to(vec.dtype), own)
        if guidance is not None and self.guidance_in is not None:
            cond = cond + self.guidance_in(timestep_embedding(guidance).to(vec.dtype), own)
        cond = F.silu(cond + self.vector_in(vec, own))

        layers = [layer for each in self.double_blocks for layer in (each.img_mod, each.txt_mod)]
        layers += [single.modulation for single in self.single_blocks]
        layers.append(self.final_layer.adaln_modulation)
        packed = torch.cat(
            [add_updates(_multiply(layer, cond), cond, layer, own) for layer in layers], dim=-1
        )
        vectors: Tensor = packed.unflatten(-1, (-1, self.params.hidden_size))
        # (shift, scale, gate) again and again, and (shift, scale) at the end: scales are 1, 4, 7...
        vectors[:, 1::3] += 1
        return vectors

    def mods_of_blocks(self, mods: Sequence[Tensor]) -> BlockMods:
        """Per request all vectors of this step -> per block every request's."""
        vectors = [mod.unbind() for mod in mods]
        num_double, num_single = 12 * self.params.depth, 3 * self.params.depth_single_blocks
        end = num_double + num_single

        def blocks(start: int, stop: int, size: int) -> list[list[Mods]]:
            return [[each[i : i + size] for each in vectors] for i in range(start, stop, size)]

        return BlockMods(
            blocks(0, num_double, 12), blocks(num_double, end, 3), blocks(end, end + 2, 2)[0]
        )


def _multiply(layer: Linear, cond: Tensor) -> Tensor:
    """A layer whose weights may wait in the host's memory, where they are needed once a picture."""
    weight = layer.matrix(cond.device, cond.dtype)
    return linear(cond, weight, layer.bias.to(cond.device, non_blocking=True))
