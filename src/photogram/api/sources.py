"""The pictures of a request, made into what its job begins from.

A file, a data URL, base64, or the address of a file comes in as it was given; the same order goes
out with clean pictures of its own size. How many are read and decoded at once is bounded, since a
small file may be a large picture.
"""

import asyncio
import binascii
import contextlib
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from photogram.api.body import MAX_UPLOAD_BYTES
from photogram.core.errors import ErrorDetail, InvalidRequestError, NotFoundError
from photogram.generation.files import Files
from photogram.generation.orders import Order, SourcePictures
from photogram.storage.blobs import is_blob_name
from photogram.webhooks.download import DownloadError, Downloads

MAX_LARGE_BODIES: Final = 4
"""Read at once, of all accounts; others wait. Each takes some times its size of memory."""

_MAX_FETCHING = 4
_MAX_DECODING = 2  # each up to ten bytes a pixel
_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w.+=-]+)*;base64,", re.ASCII)
_URL = re.compile(r"https?://", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Given:
    """The pictures of a request.

    Attributes:
        image: What it begins from.
        mask: Where that is painted anew; empty: everywhere.
        strength: 0-1: how much of it is.
        is_cutout: The mask is transparent where it is painted; else it is white there.
        fit: The size that is painted, of the image's; None: the order's, to which it is cropped.
        account_id: Whose uploads may be named.
        files_url: What their names are put behind.
    """

    image: str | bytes
    mask: str | bytes
    strength: float
    account_id: str
    files_url: str
    is_cutout: bool = False
    fit: Callable[[int, int], tuple[int, int]] | None = None


class Sources:
    """Reads pictures for one app.

    Args:
        files: What accounts have uploaded, and their pictures.
        downloads: Fetches addresses of others; None: they are refused.

    Attributes:
        large_bodies: A place for each body that is larger than usual, until its pictures are read.
    """

    def __init__(self, files: Files, downloads: Downloads | None) -> None:
        self.large_bodies = asyncio.Semaphore(MAX_LARGE_BODIES)
        self._files = files
        self._downloads = downloads
        self._fetching = asyncio.Semaphore(_MAX_FETCHING)
        self._decoding = asyncio.Semaphore(_MAX_DECODING)

    async def read(self, order: Order, given: Given) -> Order:
        """The order with what it begins from.

        Raises:
            InvalidRequestError: A picture cannot be had or used; the field is named.
            StorageError: An upload cannot be read.
        """
        is_elsewhere = any(map(_is_address, (given.image, given.mask)))
        async with self._fetching if is_elsewhere else contextlib.nullcontext():
            image = await self._fetch("image", given.image, given)
            mask = await self._fetch("mask", given.mask, given)
            async with self._decoding:
                return await asyncio.to_thread(_begin, order, given, image, mask)

    async def _fetch(self, field: str, place: str | bytes, given: Given) -> str | bytes:
        """What is at an address; anything else is left as it is."""
        if not isinstance(place, str) or not _is_address(place):
            return place
        name = place.removeprefix(given.files_url)
        if is_blob_name(name):
            try:
                return await self._files.read(given.account_id, name)
            except NotFoundError:
                raise _wrong(field, "is no file of this account, or has expired") from None
        if self._downloads is None:
            raise _wrong(
                field,
                "is a URL, and this server fetches none: send the picture itself, or the address of"
                " an upload",
            )
        try:
            return await self._downloads.get(place, MAX_UPLOAD_BYTES)
        except DownloadError as error:
            raise _wrong(field, str(error)) from None


def read_data_url(text: str) -> bytes:
    """The content of a data URL in base64.

    Raises:
        ValueError: It is none; the words complete a sentence that begins with its name.
    """
    head = _DATA_URL.match(text)
    if head is None:
        raise ValueError("must be a data URL in base64, data:image/png;base64,…")
    return _read_base64(text[head.end() :])


def _is_address(given: str | bytes) -> bool:
    return isinstance(given, str) and (_URL.match(given) is not None or is_blob_name(given))


def _begin(order: Order, given: Given, image: str | bytes, mask: str | bytes) -> Order:
    # Pillow is loaded with the first picture, and not by every server at its start.
    from photogram.imaging.decode import (  # noqa: PLC0415 - as said
        as_png,
        decode_cutout,
        decode_mask,
        decode_picture,
    )

    with _naming("image"):
        picture = decode_picture(_bytes_of(image))
    taken = picture.size
    size = (order.width, order.height) if given.fit is None else given.fit(*taken)
    pictures = SourcePictures(as_png(picture, size, crops=given.fit is None))
    del picture  # it may be large, and so may the mask
    if mask:
        with _naming("mask"):
            decode = decode_cutout if given.is_cutout else decode_mask
            painted = decode(_bytes_of(mask))
            if painted.size != taken:
                wanted, found = ("{}x{}".format(*each) for each in (taken, painted.size))
                raise ValueError(f"must have the size of the image, {wanted}, and is {found}")
        pictures = replace(pictures, mask=as_png(painted, size, crops=given.fit is None))
    width, height = size
    return replace(order, width=width, height=height, strength=given.strength, source=pictures)


@contextlib.contextmanager
def _naming(field: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise _wrong(field, str(error)) from None


def _bytes_of(given: str | bytes) -> bytes:
    if isinstance(given, bytes):
        return given
    if given.startswith("data:"):
        return read_data_url(given)
    try:
        return _read_base64(given)
    except ValueError:
        raise ValueError(
            "must be a file, a data URL, base64, or the address of an upload"
        ) from None


def _read_base64(text: str) -> bytes:
    try:
        return b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is no base64") from None


def _wrong(field: str, words: str) -> InvalidRequestError:
    message = f"{field} {words}"
    return InvalidRequestError(message, details=[ErrorDetail(field, message)])
