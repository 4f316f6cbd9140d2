"""What an adapter's file holds, checked against a transformer, from its header alone.

In: a safetensors file and the transformer's numbers. Out: for every layer that it changes the
tensors of the change, or an error that names the file and the tensor. It reads no tensor and imports
no torch.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from photogram.core.errors import CheckpointError
from photogram.model.params import FluxParams
from photogram.weights.adapters.names import (
    Kind,
    NamedLayer,
    is_of_text_encoder,
    named_layers,
    split_name,
    what_else,
)
from photogram.weights.adapters.peft import PeftConfig, read_peft_config
from photogram.weights.files.header import FLOATS, TensorHeader
from photogram.weights.files.safetensors import read_metadata
from photogram.weights.parts import read_weights


@dataclass(frozen=True, slots=True)
class Change:
    """What an adapter's file has of one layer.

    Attributes:
        down: (rank, inputs).
        up: (outputs, rank).
        bias: (outputs,).
        alpha: One number; the change is multiplied by it and divided by the rank.
    """

    name: str
    layer: NamedLayer
    down: TensorHeader
    up: TensorHeader
    bias: TensorHeader | None
    alpha: TensorHeader | None

    @property
    def rank(self) -> int:
        return self.down.shape[0]


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """An adapter that fits a transformer.

    Attributes:
        naming: Whose names it has.
        changes: One for each layer that it names.
        peft: What PEFT was configured with, where the file says it.
        num_ignored: Tensors of text encoders, which are left as they are.
    """

    path: Path
    naming: str
    changes: tuple[Change, ...]
    peft: PeftConfig | None
    num_ignored: int


def is_adapter(tensors: dict[str, TensorHeader]) -> bool:
    """Whether a file holds an adapter, of whatever model."""
    return any((found := split_name(name)) and found[1] == "up" for name in tensors)


def describe_adapter(path: Path, params: FluxParams) -> AdapterFile:
    """What a file changes of a transformer.

    Raises:
        CheckpointError: It cannot be read, holds something else than an adapter of low rank, or one of
            another model.
    """
    tensors = read_weights(path)
    own = {name: tensor for name, tensor in tensors.items() if not is_of_text_encoder(name)}
    layers = named_layers(params)
    groups = _group(path, own, layers)
    if not groups:
        raise CheckpointError(f"{path} changes nothing of the transformer")
    namings = sorted({layers[name].naming for name in groups})
    if len(namings) > 1:
        raise CheckpointError(
            f"{path} mixes the names of {' and '.join(namings)}, which may be the same layers twice"
        )
    return AdapterFile(
        path=path,
        naming=namings[0],
        changes=tuple(
            _change(path, name, layers[name], tensors) for name, tensors in groups.items()
        ),
        peft=read_peft_config(path, read_metadata(path)),
        num_ignored=len(tensors) - len(own),
    )


def _group(
    path: Path, tensors: dict[str, TensorHeader], layers: dict[str, NamedLayer]
) -> dict[str, dict[Kind, TensorHeader]]:
    """The tensors by layer."""
    groups: defaultdict[str, dict[Kind, TensorHeader]] = defaultdict(dict)
    for name, tensor in tensors.items():
        owner = what_else(name)
        if owner is not None:
            raise CheckpointError(f"{path}: {name} is {owner}")
        found = split_name(name)
        if found is None:
            raise CheckpointError(f"{path}: {name} is nothing that an adapter (LoRA) has")
        layer, kind = found
        if layer not in layers:
            raise CheckpointError(f"{path}: {name} is for a layer that this model does not have")
        if kind in groups[layer]:
            raise CheckpointError(
                f"{path}: {name} and {groups[layer][kind].name} are of the same layer"
            )
        groups[layer][kind] = tensor
    return groups


def _change(path: Path, name: str, layer: NamedLayer, tensors: dict[Kind, TensorHeader]) -> Change:
    down, up = tensors.get("down"), tensors.get("up")
    if down is None or up is None:
        found = next(iter(tensors.values())).name
        raise CheckpointError(f"{path}: {found} is there, but its other half is missing")
    num_outputs, num_inputs = layer.shape
    rank = down.shape[0] if down.shape else 0
    _check(down, (max(rank, 1), num_inputs))
    _check(up, (num_outputs, rank))
    bias, alpha = tensors.get("bias"), tensors.get("alpha")
    if bias is not None:
        _check(bias, (num_outputs,))
    if alpha is not None and alpha.num_elements != 1:
        raise CheckpointError(
            f"{path}: {alpha.name} has the shape {list(alpha.shape)}, it must be one number"
        )
    return Change(name, layer, down, up, bias, alpha)


def _check(tensor: TensorHeader, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise CheckpointError(
            f"{tensor.file}: {tensor.name} has the shape {list(tensor.shape)}, "
            f"but this model's layer asks for {list(shape)}"
        )
    if tensor.dtype not in FLOATS:
        raise CheckpointError(
            f"{tensor.file}: {tensor.name} is of type {tensor.dtype}; known are {', '.join(FLOATS)}"
        )
