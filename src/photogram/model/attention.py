"""Attention of a packed batch: every request attends to its own tokens only.

In: queries, keys and values of all requests, one after another, with their positions in them. Out:
the attended values in the same order. On a CPU a request's result does not depend on its
neighbours, to the last bit, because every operation here runs on one request at a time; on a GPU one
kernel of variable lengths takes them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import accumulate
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from photogram.model.linear import onednn_multiplies

SCORES_AT_ONCE = 2**18
"""Attention scores in bfloat16 that stay in a core's second-level cache, half a MiB."""


@dataclass(frozen=True)
class Packing:
    """How many tokens of each kind every request has in a packed batch.

    Attributes:
        img: Image tokens per request.
        txt: Text tokens per request.
        total: All tokens per request, text first.
        offsets: For a kernel of variable lengths, where every request's image tokens begin, and
            where all its tokens do, with the end: 2 x (requests + 1,) int32; see `for_kernel`.
    """

    img: tuple[int, ...]
    txt: tuple[int, ...]
    offsets: tuple[Tensor, Tensor] | None = field(default=None, compare=False)
    total: tuple[int, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        total = tuple(txt + img for txt, img in zip(self.txt, self.img, strict=True))
        object.__setattr__(self, "total", total)

    def for_kernel(self, device: torch.device) -> "Packing":
        """The same, with what a kernel of variable lengths needs."""
        img, total = (
            torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)
            for lengths in (self.img, self.total)
        )
        return replace(self, offsets=(img, total))

    def join(self, txt: Tensor, img: Tensor) -> Tensor:
        """(sum of txt, ...) and (sum of img, ...) -> (sum of both, ...), request by request."""
        pieces = zip(unpack(txt, self.txt), unpack(img, self.img), strict=True)
        return torch.cat([piece for pair in pieces for piece in pair])

    def part(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `join`: (sum of both, ...) -> txt, img."""
        lengths = [length for pair in zip(self.txt, self.img, strict=True) for length in pair]
        pieces = x.split(lengths)
        return pack(pieces[0::2]), pack(pieces[1::2])


def unpack(x: Tensor, lengths: tuple[int, ...]) -> Sequence[Tensor]:
    """Every request's tokens; a single request is not split."""
    return (x,) if len(lengths) == 1 else x.split(lengths)


def pack(pieces: Sequence[Tensor]) -> Tensor:
    """Concatenate the requests' tokens; a single request is not copied."""
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces))


def attention(heads: Tensor, packing: Packing, *, image_asks: bool = False) -> Tensor:
    """Scaled dot-product attention within every request.

    Source: black-forest-labs/flux src/flux/math.py `attention`; there a batch is padded.

    Args:
        heads: (L, 3, H, D), queries, keys and values of all requests, the first two turned.
        packing: The requests' lengths; with offsets, one kernel takes all requests.
        image_asks: Only image tokens attend; text is only attended to.

    Returns:
        (L, H * D), or (sum of packing.img, H * D).
    """
    asking = packing.img if image_asks else packing.total
    requests = unpack(heads, packing.total)
    if packing.offsets is not None:
        img, total = packing.offsets
        q = pack([each[-length:, 0] for each, length in zip(requests, asking, strict=True)])
        _, k, v = heads.unbind(1)
        offsets = (img if image_asks else total, total)
        x = varlen_attn(q, k, v, *offsets, max(asking), max(packing.total))
        return cast("Tensor", x).flatten(1)  # a pair only where the log of the sums is asked for
    by_heads = heads.device.type == "cpu" and _sdpa_is_slow_in(heads.dtype)
    attend = _attend_by_heads if by_heads else _attend
    return pack([attend(each, length) for each, length in zip(requests, asking, strict=True)])


def _attend(heads: Tensor, num_asking: int) -> Tensor:
    """One request, (L, 3, H, D) -> (num_asking, H * D), its last tokens' results."""
    q, k, v = heads.permute(1, 2, 0, 3)[:, None]  # (L, 3, H, D) -> 3 x (1, H, L, D)
    x = F.scaled_dot_product_attention(q[:, :, -num_asking:], k, v)
    return x[0].transpose(0, 1).flatten(1)


def _attend_by_heads(heads: Tensor, num_asking: int) -> Tensor:
    """`_attend` as two matrix products, as many heads at once as `SCORES_AT_ONCE` allows."""
    q, k, v = heads.permute(1, 2, 0, 3).contiguous()  # (L, 3, H, D) -> 3 x (H, L, D)
    num_heads = max(1, SCORES_AT_ONCE // (num_asking * len(heads)))
    groups = zip(
        q[:, -num_asking:].split(num_heads),
        k.transpose(1, 2).split(num_heads),
        v.split(num_heads),
        strict=True,
    )
    nothing, scale = q.new_empty(()), q.shape[-1] ** -0.5
    attended = [
        torch.bmm(torch.baddbmm(nothing, q, k, beta=0, alpha=scale).softmax(-1), v)
        for q, k, v in groups
    ]
    return pack(attended).transpose(0, 1).flatten(1)


@cache
def _sdpa_is_slow_in(dtype: torch.dtype) -> bool:
    """Without AMX, torch's attention multiplies bfloat16 at the speed of float32."""
    has_amx = torch.cpu.get_capabilities().get("amx_tile", False)
    return dtype == torch.bfloat16 and onednn_multiplies(dtype) and not has_amx
