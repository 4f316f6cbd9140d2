"""Loads an adapter's numbers for one transformer, strictly.

In: an adapter's file that was described, and the network that it changes. Out: what it adds to which
layers, on the network's device in its precision. The network itself is not touched.
"""

import math
from collections import defaultdict

import torch
from torch import Tensor

from photogram.core.errors import CheckpointError
from photogram.model.adapters import Adapter, Update
from photogram.model.linear import Linear
from photogram.model.transformer import Flux
from photogram.weights.adapters.describe import AdapterFile, Change
from photogram.weights.adapters.names import Target
from photogram.weights.files.header import TensorHeader
from photogram.weights.files.reader import TensorReader


def load_adapter(
    file: AdapterFile, transformer: Flux, device: torch.device, dtype: torch.dtype
) -> Adapter:
    """An adapter, ready to run.

    Args:
        file: Described with the transformer's own numbers.
        transformer: Whose layers it is for, as they are when pictures are painted.
        device: Where they are painted.
        dtype: Of what the layers take.

    Raises:
        CheckpointError: The file ends or fails within a tensor, or an alpha is no number.
    """
    updates: defaultdict[Linear, list[Update]] = defaultdict(list)

    def take(tensor: TensorHeader, target: Target | None = None) -> Tensor:
        """A tensor, or of one of outputs those of a target."""
        if target is None:
            return reader.numbers(tensor, dtype).to(device)
        numbers = reader.numbers(tensor.rows(*target.rows), dtype)
        if target.swap_halves:
            numbers = torch.cat(numbers.chunk(2)[::-1])
        return numbers.to(device)

    with TensorReader() as reader:
        for change in file.changes:
            down, factor = take(change.down), _factor(file, change, reader)
            for target in change.layer.targets:
                layer = transformer.get_submodule(target.layer)
                assert isinstance(layer, Linear)  # noqa: S101 - the key map names linear layers alone
                bias = None if change.bias is None else take(change.bias, target)
                up = take(change.up, target)
                updates[layer].append(Update(target.begin, down, up, bias, factor))
    return Adapter(updates)


def _factor(file: AdapterFile, change: Change, reader: TensorReader) -> float:
    """What a change is multiplied by; where nobody says it, it is as large as it was trained."""
    if change.alpha is None:
        return 1.0 if file.peft is None else file.peft.factor(change.name, change.rank)
    alpha = reader.numbers(change.alpha, torch.float32).item()
    if not math.isfinite(alpha):
        raise CheckpointError(f"{file.path}: {change.alpha.name} is {alpha}, it must be finite")
    return alpha / change.rank
