"""Reads tensors from files, one at a time.

In: a `TensorHeader`. Out: its numbers, in the type of the file or in the one asked for. Files are
read, not mapped: where a disk fails or a file is cut off meanwhile, a read is an error that can be
told, and a mapped page is the end of the process.
"""

import contextlib
import math
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from photogram.core.errors import CheckpointError
from photogram.model.packed import unpack
from photogram.weights.files.header import FLOATS, PACKED, TensorHeader


class TensorReader:
    """Reads from any number of files and keeps them open until it is left."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._files: dict[Path, BufferedReader] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def numbers(self, tensor: TensorHeader, dtype: torch.dtype) -> Tensor:
        """The numbers that the tensor means, in its shape.

        Every number is found in float32, its scale included, and rounded once.

        Raises:
            CheckpointError: The file ends or fails within the tensor.
        """
        if tensor.dtype in PACKED:
            return unpack(self.rows(tensor), tensor.dtype, dtype).view(tensor.shape)
        plain = self.plain(tensor)
        if tensor.scale is None:
            return plain.to(dtype)
        return (plain.float() * self.scales(tensor)).to(dtype)

    def plain(self, tensor: TensorHeader) -> Tensor:
        """The numbers of a type of single numbers as they are in the file, without their scale.

        Raises:
            CheckpointError: They are no floating numbers, or as in `numbers`.
        """
        if tensor.dtype not in FLOATS:
            raise CheckpointError(
                f"{tensor.file}: {tensor.name} is of type {tensor.dtype}; known are {', '.join(FLOATS)}"
            )
        kind = getattr(torch, FLOATS[tensor.dtype])
        return self._bytes(tensor).view(kind).view(tensor.shape)

    def rows(self, tensor: TensorHeader) -> Tensor:
        """The blocks of a packed matrix: (rows, bytes of a row) uint8; a vector is one row."""
        return self._bytes(tensor).view(math.prod(tensor.shape[:-1]), -1)

    def scales(self, tensor: TensorHeader) -> Tensor:
        """The factor of every row, one for all rows or one of each: () or (rows, 1) float32."""
        if tensor.scale is None:
            return torch.ones(())
        scale = self.plain(tensor.scale).float()
        return scale.view(()) if scale.numel() == 1 else scale.view(-1, 1)

    def _bytes(self, tensor: TensorHeader) -> Tensor:
        data = torch.empty(tensor.size_bytes, dtype=torch.uint8)
        try:
            if tensor.file not in self._files:
                self._files[tensor.file] = self._stack.enter_context(tensor.file.open("rb"))
            file = self._files[tensor.file]
            file.seek(tensor.begin)
            num_bytes = file.readinto(data.numpy().data) if tensor.size_bytes else 0
        except OSError as error:
            raise CheckpointError(
                f"{tensor.file}: {tensor.name} cannot be read: {error.strerror}"
            ) from None
        if num_bytes != tensor.size_bytes:
            raise CheckpointError(
                f"{tensor.file} ends within {tensor.name}: {num_bytes} of "
                f"{tensor.size_bytes} bytes could be read"
            )
        return data
