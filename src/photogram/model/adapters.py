"""What low-rank adapters add to a layer's product, for each request its own.

In: a layer, the packed tokens that it takes, and every request's adapters. Out: the layer's product,
with each request's changes added to its own rows. The weights stay as they are, and the product with
them is everybody's; only the small products are a request's own, of its own rows, so that its result
does not depend on its neighbours. It knows no file and no name.

Source: "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv:2106.09685), section 4.1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from photogram.model.attention import pack, unpack
from photogram.model.linear import Linear, linear


@dataclass(frozen=True, slots=True)
class Update:
    """What is added to some outputs of a layer: ``factor * (x @ down.T @ up.T + bias)``.

    Attributes:
        begin: The first of the outputs.
        down: (rank, in_features).
        up: (outputs, rank).
        bias: (outputs,); None: none.
    """

    begin: int
    down: Tensor
    up: Tensor
    bias: Tensor | None
    factor: float


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """One adapter: what it adds to which layers of one network."""

    updates: Mapping[Linear, Sequence[Update]]

    @property
    def size_bytes(self) -> int:
        """Memory of its tensors; those that several updates share count once."""
        tensors = {
            id(tensor): tensor
            for updates in self.updates.values()
            for update in updates
            for tensor in (update.down, update.up, update.bias)
            if tensor is not None
        }
        return sum(tensor.nbytes for tensor in tensors.values())


class Scaled(NamedTuple):
    """An adapter, and what all that it adds is multiplied by."""

    adapter: Adapter
    scale: float


Adapters = tuple[Scaled, ...]
"""Those of one request; mostly none."""


def multiply(
    layer: Linear, x: Tensor, lengths: tuple[int, ...], adapters: Sequence[Adapters]
) -> Tensor:
    """The layer's product: (L, in_features) -> (L, out_features).

    Args:
        layer: Any.
        x: The rows of all requests.
        lengths: Per request; their sum is L.
        adapters: Per request; empty where nobody has any.
    """
    y = layer(x)
    if adapters:
        for each_y, each_x, own in zip(
            unpack(y, lengths), unpack(x, lengths), adapters, strict=True
        ):
            add_updates(each_y, each_x, layer, own)
    return y


def multiply_gelu(
    layer: Linear, x: Tensor, lengths: tuple[int, ...], adapters: Sequence[Adapters]
) -> Tensor:
    """As `multiply`, through a GELU in the tanh form.

    It is part of the product where there are no changes, so a product with them is a request's own.
    """
    if not any(_changes(own, layer) for own in adapters):
        return layer.gelu(x)
    products = []
    for each, own in zip(unpack(x, lengths), adapters, strict=True):
        if _changes(own, layer):
            y = add_updates(layer(each), each, layer, own)
            products.append(F.gelu(y, approximate="tanh"))
        else:
            products.append(layer.gelu(each))
    return pack(products)


def add_updates(y: Tensor, x: Tensor, layer: Linear, own: Adapters) -> Tensor:
    """Add to `y`, the layer's product with `x`, what one request's adapters change of it."""
    for adapter, scale in own:
        for update in adapter.updates.get(layer, ()):
            factor = scale * update.factor
            bias = None if update.bias is None else factor * update.bias
            added = linear(factor * linear(x, update.down), update.up, bias)
            y[:, update.begin : update.begin + len(update.up)] += added
    return y


def _changes(own: Adapters, layer: Linear) -> bool:
    return any(layer in adapter.updates for adapter, _ in own)
