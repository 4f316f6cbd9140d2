"""Attention of a packed batch: every request attends to its own tokens only.

In: queries, keys and values of all requests, one after another. Out: the attended values in the
same order. A request's result does not depend on its neighbours, to the last bit, because every
operation here runs on one request at a time. A variable-length kernel has its place in
`attention`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from photogram.model.rope import apply_rope


@dataclass(frozen=True, slots=True)
class Packing:
    """How many tokens of each kind every request has in a packed batch.

    Attributes:
        img: Image tokens per request.
        txt: Text tokens per request.
    """

    img: tuple[int, ...]
    txt: tuple[int, ...]

    @property
    def total(self) -> tuple[int, ...]:
        """All tokens per request, text first."""
        return tuple(txt + img for txt, img in zip(self.txt, self.img, strict=True))

    def join(self, txt: Tensor, img: Tensor) -> Tensor:
        """(sum of txt, ...) and (sum of img, ...) -> (sum of both, ...), request by request."""
        pieces = zip(txt.split(self.txt), img.split(self.img), strict=True)
        return torch.cat([piece for pair in pieces for piece in pair])

    def part(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `join`: (sum of both, ...) -> txt, img."""
        lengths = [length for pair in zip(self.txt, self.img, strict=True) for length in pair]
        pieces = x.split(lengths)
        return pack(pieces[0::2]), pack(pieces[1::2])


def pack(pieces: Sequence[Tensor]) -> Tensor:
    """Concatenate the requests' tokens; a single request is not copied."""
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces))


def attention(qk: Tensor, v: Tensor, pe: Sequence[Tensor], lengths: tuple[int, ...]) -> Tensor:
    """Scaled dot-product attention within every request.

    Source: black-forest-labs/flux src/flux/math.py `attention`; there a batch is padded.

    Args:
        qk: (L, 2, H, D) float32, normalised queries and keys of all requests.
        v: (L, H, D) values, in the dtype of the result.
        pe: Per request (its length, D / 2) complex64.
        lengths: Tokens per request; their sum is L.

    Returns:
        (L, H * D).
    """
    requests = zip(qk.split(lengths), v.split(lengths), pe, strict=True)
    return pack([_attend(*request) for request in requests])


def _attend(qk: Tensor, v: Tensor, pe: Tensor) -> Tensor:
    q, k = apply_rope(qk, pe).to(v.dtype).permute(1, 2, 0, 3)  # (L, 2, H, D) -> 2 x (H, L, D)
    x = F.scaled_dot_product_attention(q[None], k[None], v.transpose(0, 1)[None])
    return x[0].transpose(0, 1).flatten(1)  # (1, H, L, D) -> (L, H * D)
