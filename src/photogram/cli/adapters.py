"""Adapters (LoRA) on the command line: those that a picture is painted with, and what a file is.

In: words such as ``NAME:0.8``, or a file. Out: the adapters with their files, or facts for people.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from photogram.core.adapters import adapter_files
from photogram.core.errors import InvalidRequestError
from photogram.core.messages import Adapter

if TYPE_CHECKING:
    from photogram.model.params import FluxParams

_MOST_SCALE = 2.0


def read_adapters(words: list[str], folder: Path | None) -> dict[Path, Adapter]:
    """File -> adapter, in the order in which a server takes them.

    Args:
        words: Each ``NAME_OR_FILE``, or that, a colon and a scale.
        folder: Where names are looked up.

    Raises:
        InvalidRequestError: Neither a name nor a file, a scale out of range, or one twice.
        CheckpointError: The system refuses to look for such a file.
    """
    from photogram.weights.parts import refusals_told

    files = adapter_files(folder)
    found: dict[Path, Adapter] = {}
    for word in words:
        name, scale = _split(word)
        path = files.get(name, Path(name))
        with refusals_told(path):
            is_file = path.is_file()
        if not is_file:
            offered = ", ".join(files) or "none"
            raise InvalidRequestError(
                f"--lora {word}: {name} is neither a file nor a name; there are: {offered}"
            )
        if path in found:
            raise InvalidRequestError(f"--lora {word}: {name} is given twice")
        found[path] = Adapter(path.stem, scale)
    return dict(sorted(found.items(), key=lambda item: item[1].name))


def _split(word: str) -> tuple[str, float]:
    name, colon, text = word.rpartition(":")
    try:
        scale = float(text) if colon else 1.0
    except ValueError:  # a colon of the name's own
        return word, 1.0
    if not 0 <= scale <= _MOST_SCALE:
        raise InvalidRequestError(
            f"--lora {word}: the scale must be a number from 0 to {_MOST_SCALE:g}"
        )
    return (name, scale) if colon else (word, scale)


def adapter_facts(path: Path, params: "FluxParams") -> dict[str, str]:
    """What an adapter's file is, by the words for it.

    Raises:
        CheckpointError: It is not for such a transformer, or cannot be used.
    """
    from photogram.weights.adapters.describe import describe_adapter
    from photogram.weights.files.header import FLOATS

    file = describe_adapter(path, params)
    ranks = sorted({change.rank for change in file.changes})
    tensors = [tensor for each in file.changes for tensor in (each.down, each.up)]
    size_bytes = sum(tensor.size_bytes for tensor in tensors)
    facts = {
        "adapter": path.stem,
        "named by": file.naming,
        "changes": f"{len(file.changes)} layers",
        "rank": str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}",
        "weights": f"{size_bytes / 2**20:.1f} MiB, "
        + ", ".join(sorted({FLOATS[tensor.dtype] for tensor in tensors})),
    }
    if file.num_ignored:
        facts["left out"] = f"{file.num_ignored} tensors for text encoders, which stay as they are"
    return facts
