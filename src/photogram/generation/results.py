"""Finished pictures, put where they can be fetched again.

Pictures of the engine go in; what the database keeps of them comes out, after the files are safe on
the disk and before anybody is billed for them.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from photogram.core import clock
from photogram.core.messages import CONTENT_TYPES, EncodedImage
from photogram.generation.orders import SourceNames, SourcePictures
from photogram.generation.records import StoredImage
from photogram.storage.blobs import BlobFolder, new_blob_name

_EXTENSIONS = {CONTENT_TYPES[name]: name for name in CONTENT_TYPES}


class Results:
    """The files of all jobs.

    Args:
        blobs: Where they are.
        life: How long they are kept.
    """

    def __init__(self, blobs: BlobFolder, life: timedelta) -> None:
        self._blobs = blobs
        self._life = life

    def check_space(self) -> None:
        """Whether there is room for another job's pictures.

        Raises:
            StorageError: The disk is nearly full.
        """
        self._blobs.check_space()

    async def store(self, images: Sequence[EncodedImage]) -> tuple[StoredImage, ...]:
        """Write the pictures of a job; when this returns, they survive a loss of power.

        Raises:
            StorageError: The disk refused; none of them is there.
        """
        names = [new_blob_name(_EXTENSIONS[each.content_type]) for each in images]
        expires_at = await self.keep(
            {name: each.data for name, each in zip(names, images, strict=True)}
        )
        return tuple(
            StoredImage(
                number=number,
                file_name=name,
                seed=each.seed,
                width=each.width,
                height=each.height,
                content_type=each.content_type,
                size_bytes=len(each.data),
                sha256=hashlib.sha256(each.data).hexdigest(),
                expires_at=expires_at,
            )
            for number, (name, each) in enumerate(zip(names, images, strict=True))
        )

    async def keep(self, contents: Mapping[str, bytes]) -> datetime:
        """Write files, durably; returns when they may be removed.

        Args:
            contents: By their new names.

        Raises:
            StorageError: The disk refused; none of them is there.
        """
        expires_at = clock.now() + self._life
        await asyncio.to_thread(self._blobs.write, contents)
        return expires_at

    async def load(self, stored: Iterable[StoredImage]) -> tuple[EncodedImage, ...]:
        """Pictures that were stored.

        Raises:
            NotFoundError: One of them has expired.
            StorageError: One of them cannot be read.
        """
        return tuple(
            [
                EncodedImage(
                    seed=each.seed,
                    width=each.width,
                    height=each.height,
                    content_type=each.content_type,
                    data=await self.read(each.file_name),
                )
                for each in stored
            ]
        )

    async def read(self, file_name: str) -> bytes:
        """The content of a file.

        Raises:
            NotFoundError: It is not there any more.
            StorageError: It cannot be read.
        """
        return await asyncio.to_thread(self._blobs.read, file_name)

    async def find(self, file_name: str) -> Path:
        """Where a file is.

        Raises:
            NotFoundError: It is not there any more.
        """
        return await asyncio.to_thread(self._blobs.find, file_name)

    async def keep_source(self, names: SourceNames, pictures: SourcePictures) -> None:
        """Write what a job begins from, durably.

        Raises:
            StorageError: The disk refused; nothing is there.
        """
        contents = [each for each in (pictures.image, pictures.mask) if each is not None]
        await asyncio.to_thread(self._blobs.write, dict(zip(names.files, contents, strict=True)))

    async def load_source(self, names: SourceNames) -> SourcePictures:
        """What a job begins from.

        Raises:
            NotFoundError: It is not there any more.
            StorageError: It cannot be read.
        """
        contents = [await self.read(name) for name in names.files]
        return SourcePictures(*contents)

    async def discard(self, stored: Iterable[StoredImage]) -> None:
        """Remove pictures that nobody is billed for."""
        await self.remove(each.file_name for each in stored)

    async def remove(self, file_names: Iterable[str]) -> None:
        """Remove files that nobody needs; what the disk does not let go is swept."""
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._blobs.remove, list(file_names))


def new_source_names(pictures: SourcePictures | None) -> SourceNames | None:
    """New names for the files of what a job begins from."""
    if pictures is None:
        return None
    mask = None if pictures.mask is None else new_blob_name("png")
    return SourceNames(new_blob_name("png"), mask)
