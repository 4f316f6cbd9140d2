"""Skipping most of the network where a step would change little: approximate, and so off by default.

In: the inputs of a step, and what each request's last whole step left. Out: the velocity, and what
to remember next. If the first block adds nearly what it added then, all other blocks are taken to add
what they added then. Every request decides for itself, from its own tokens alone, and those that skip
are left out of the pass of the others, so that a picture does not depend on its batch. It knows no
schedule and no device.

Source: chengzeyi/ParaAttention first_block_cache/utils.py ("First Block Cache"), after TeaCache
(arXiv:2411.19108).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from photogram.model.adapters import Adapters, multiply
from photogram.model.attention import Packing, pack, unpack
from photogram.model.transformer import Flux


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a request's last whole step left.

    Attributes:
        first: (L, C), what the first block added to the image stream.
        others: (L, C), what all other blocks added to it.
    """

    first: Tensor
    others: Tensor


class StepCache:
    """The transformer's `forward` with a memory for each request.

    Args:
        transformer: With at least one double block.
        threshold: Above 0: how much the first block's addition may differ from the remembered one,
            as a share of it, for the other blocks to be skipped.
    """

    def __init__(self, transformer: Flux, threshold: float) -> None:
        self._transformer = transformer
        self._threshold = threshold

    def __call__(
        self,
        img: Tensor,
        txt: Tensor,
        pe: Sequence[Tensor],
        mods: Sequence[Tensor],
        packing: Packing,
        adapters: Sequence[Adapters],
        remembered: Sequence[Remembered | None],
    ) -> tuple[Tensor, list[Remembered]]:
        """A step of every request, whole or shortened.

        Args:
            img: As the others, of `Flux.forward`.
            txt: See `img`.
            pe: See `img`.
            mods: See `img`.
            packing: See `img`.
            adapters: See `img`.
            remembered: Per request what the last step returned; None at its first step.

        Returns:
            The velocity, and what to remember of each request.
        """
        flux = self._transformer
        of_blocks = flux.mods_of_blocks(mods)
        before = multiply(flux.img_in, img, packing.img, adapters)
        txt = multiply(flux.txt_in, txt, packing.txt, adapters)
        img, txt = flux.run_doubles(before, txt, pe, of_blocks, packing, adapters, slice(1))
        added, images = unpack(img - before, packing.img), unpack(img, packing.img)
        kept = [self._if_near(*pair) for pair in zip(added, remembered, strict=True)]
        whole = [index for index, old in enumerate(kept) if old is None]
        texts = unpack(txt, packing.txt)
        passed = iter(self._other_blocks(whole, images, texts, pe, mods, adapters))
        ends, now = [], []
        for first, image, old in zip(added, images, kept, strict=True):
            ends.append(next(passed) if old is None else image + old.others)
            now.append(Remembered(first.clone(), ends[-1] - image) if old is None else old)
        return flux.end(pack(ends), of_blocks, packing, adapters), now

    def _if_near(self, first: Tensor, old: Remembered | None) -> Remembered | None:
        """What is remembered, if it still holds."""
        if old is None:
            return None
        apart, size = (
            torch.linalg.vector_norm(each, 1, dtype=torch.float32)
            for each in (first - old.first, old.first)
        )
        return old if apart <= self._threshold * size else None

    def _other_blocks(
        self,
        whole: Sequence[int],
        images: Sequence[Tensor],
        texts: Sequence[Tensor],
        pe: Sequence[Tensor],
        mods: Sequence[Tensor],
        adapters: Sequence[Adapters],
    ) -> Sequence[Tensor]:
        """The image streams of some of the requests behind the last block."""
        if not whole:
            return []
        flux = self._transformer
        images, texts = [images[i] for i in whole], [texts[i] for i in whole]
        pe, of_blocks = [pe[i] for i in whole], flux.mods_of_blocks([mods[i] for i in whole])
        own = [adapters[i] for i in whole] if adapters else ()
        packing = Packing(tuple(map(len, images)), tuple(map(len, texts)))
        img, txt = flux.run_doubles(
            pack(images), pack(texts), pe, of_blocks, packing, own, slice(1, None)
        )
        return unpack(flux.run_singles(img, txt, pe, of_blocks, packing, own), packing.img)
