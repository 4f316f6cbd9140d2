"""Adapters that stay loaded for those who ask for them again.

In: an adapter's file. Out: the adapter, as the file is now: one that was replaced is loaded anew, and who
paints with the old one keeps it. What was used least recently is forgotten first. It knows no name and
no request.
"""

import stat
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch

from photogram.core.errors import CheckpointError
from photogram.model.adapters import Adapter
from photogram.model.params import FluxParams
from photogram.model.transformer import Flux
from photogram.weights.adapters.describe import describe_adapter
from photogram.weights.adapters.load import load_adapter

MOST_BYTES = 2**30
"""Adapters are kept up to so much, beside those that are being painted with. One for all layers of
FLUX.1 [dev], of rank 16 and in bfloat16, takes about 170 MiB."""

_Version = tuple[int, int, int]
"""By which a file is known that was replaced: its place on the disk, its size, its time."""


@dataclass(frozen=True, slots=True)
class _Kept:
    version: _Version
    adapter: Adapter


class AdapterShelf:
    """The adapters of one network.

    Args:
        transformer: The network, as it runs.
        device: Where it runs.
        most_bytes: Adapters are kept up to so much.
    """

    def __init__(
        self, transformer: Flux, device: torch.device, most_bytes: int = MOST_BYTES
    ) -> None:
        self._transformer = transformer
        self._params: FluxParams = transformer.params
        self._device = device
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Path, _Kept] = OrderedDict()

    def get(self, path: Path) -> Adapter:
        """The adapter of a file.

        Raises:
            CheckpointError: It cannot be read, is none, or is for another model.
        """
        version = _version(path)
        kept = self._kept.get(path)
        if kept is None or kept.version != version:
            file = describe_adapter(path, self._params)
            dtype = self._transformer.img_in.bias.dtype
            adapter = load_adapter(file, self._transformer, self._device, dtype)
            if _version(path) != version:
                raise CheckpointError(f"{path} was replaced while it was read; ask again")
            kept = self._kept[path] = _Kept(version, adapter)
        self._kept.move_to_end(path)
        self._forget()
        return kept.adapter

    def _forget(self) -> None:
        held_bytes = sum(kept.adapter.size_bytes for kept in self._kept.values())
        while held_bytes > self._most_bytes and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            held_bytes -= oldest.adapter.size_bytes


def _version(path: Path) -> _Version:
    try:
        status = path.stat()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{path} is no file")
    return status.st_ino, status.st_size, status.st_mtime_ns
