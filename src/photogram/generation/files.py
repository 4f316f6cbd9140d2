"""Files that are fetched by their names: pictures of jobs, and pictures that accounts have uploaded.

Whoever knows a name may have the file, so that it can be shown and passed on without a key; a name
cannot be guessed. It knows nothing of requests.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from photogram.core import clock
from photogram.core.errors import NotFoundError, PhotogramError
from photogram.core.messages import CONTENT_TYPES, ImageFormat
from photogram.generation.records import StoredFile
from photogram.generation.repository import assets, records
from photogram.generation.results import Results
from photogram.storage.backend import OUTCOME_UNKNOWN
from photogram.storage.blobs import is_blob_name, new_blob_name
from photogram.storage.database import Database

MAX_UPLOADED_BYTES: Final = 1024**3
"""What all uploads of one account may hold at a time."""


class Files:
    """All files of one database.

    Args:
        database: Where they are known.
        results: Where they are.
    """

    def __init__(self, database: Database, results: Results) -> None:
        self._database = database
        self._results = results

    async def find(self, file_name: str) -> tuple[StoredFile, Path]:
        """The file of that name, and where it is.

        Raises:
            NotFoundError: There is none, or it has expired.
            StorageError: The database refused.
        """
        if not is_blob_name(file_name):
            raise NotFoundError("there is no such file")
        file = await self._database.run(_find, file_name, readonly=True)
        return file, await self._results.find(file_name)

    async def read(self, account_id: str, file_name: str) -> bytes:
        """The content of an account's own file.

        Raises:
            NotFoundError: It has none of that name, or it has expired.
            StorageError: Disk or database refused.
        """
        await self._database.run(_find, file_name, account_id, readonly=True)
        return await self._results.read(file_name)

    async def upload(
        self, account_id: str, contents: Sequence[tuple[ImageFormat, bytes]]
    ) -> tuple[StoredFile, ...]:
        """Keep files of an account for as long as its pictures.

        Args:
            account_id: Whose.
            contents: What they are, and their bytes.

        Raises:
            PayloadTooLargeError: The account has too many.
            StorageError: Disk or database refused; none of them is there.
        """
        self._results.check_space()
        names = [new_blob_name(image_format) for image_format, _ in contents]
        expires_at = await self._results.keep(
            {name: data for name, (_, data) in zip(names, contents, strict=True)}
        )
        uploads = tuple(
            StoredFile(
                name,
                CONTENT_TYPES[image_format],
                len(data),
                hashlib.sha256(data).hexdigest(),
                expires_at,
            )
            for name, (image_format, data) in zip(names, contents, strict=True)
        )
        try:
            await self._database.run(assets.add, account_id, uploads, MAX_UPLOADED_BYTES)
        except PhotogramError as error:
            if error.error_code != OUTCOME_UNKNOWN:
                await self._results.remove(names)
            raise
        return uploads


def _find(connection: Connection, file_name: str, account_id: str | None = None) -> StoredFile:
    """Anybody's file of that name, or an account's."""
    now = clock.now()
    file = records.find_file(connection, file_name, now, account_id)
    file = file or assets.find_file(connection, file_name, now, account_id)
    if file is None:
        raise NotFoundError("there is no such file, or it has expired")
    return file
