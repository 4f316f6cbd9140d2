"""Whether a network's tensors are those that its configuration asks for.

In: the headers of a network's tensors and a table of what it is made of. Out: nothing, or an error
that names the file and the tensor. It reads no tensor and imports no torch.
"""

from collections.abc import Iterable

from photogram.core.errors import CheckpointError
from photogram.weights.files.header import FLOATS, PACKED, TensorHeader
from photogram.weights.keymap import Entry
from photogram.weights.parts import Part

_KNOWN = (*FLOATS, *PACKED)


def check_part(part: Part, entries: Iterable[Entry]) -> None:
    """Every tensor of the table is there, in its shape, and no other.

    Raises:
        CheckpointError: The first that is not.
    """
    unused = dict(part.tensors)
    shapes = {source.name: source.shape for entry in entries for source in entry.sources}
    for name, shape in shapes.items():
        tensor = unused.pop(name, None)
        if tensor is None:
            raise CheckpointError(
                f"{part.place}: the tensor {name} is missing; {_asker(part)} asks for it"
            )
        _check_tensor(part, tensor, shape)
    for tensor in unused.values():
        raise CheckpointError(
            f"{tensor.file}: {tensor.name} is not part of what {_asker(part)} describes"
        )


def _check_tensor(part: Part, tensor: TensorHeader, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise CheckpointError(
            f"{tensor.file}: {tensor.name} has the shape {list(tensor.shape)}, "
            f"{_asker(part)} asks for {list(shape)}"
        )
    if tensor.dtype not in _KNOWN:
        raise CheckpointError(
            f"{tensor.file}: {tensor.name} is of type {tensor.dtype}; known are {', '.join(_KNOWN)}"
        )


def _asker(part: Part) -> str:
    """Whose numbers the table is made from."""
    return "FLUX.1" if part.config.path == part.place else str(part.config.path)
