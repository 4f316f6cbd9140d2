"""A file of somebody else's, fetched because a request names it.

A URL comes in, from whoever; the bytes that are there go out. Every address on the way is checked
before it is connected to, and size, time and redirects are limited. It knows nothing of pictures.
"""

import asyncio
import ssl
from importlib.metadata import version
from typing import Final
from urllib.parse import urljoin

from photogram.webhooks.addresses import AddressError, AddressGuard
from photogram.webhooks.exchange import ExchangeError, get

TIMEOUT_S: Final = 10.0
MAX_REDIRECTS: Final = 3

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OK = 200


class DownloadError(Exception):
    """There is nothing to be had; the text says why and continues the name of a field."""


class Downloads:
    """Fetches files.

    Args:
        guard: Where they may be.
        timeout_s: Seconds for one file, from the first look-up to its last byte.
    """

    def __init__(self, guard: AddressGuard, *, timeout_s: float = TIMEOUT_S) -> None:
        self._guard = guard
        self._timeout_s = timeout_s
        self._tls = ssl.create_default_context()  # trusts whom this machine trusts

    async def get(self, url: str, max_bytes: int) -> bytes:
        """What is there.

        Raises:
            DownloadError: It may not be asked for, or did not come whole and in time.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(url, max_bytes)
        except TimeoutError:
            raise DownloadError(f"did not come within {self._timeout_s:g} seconds") from None
        except AddressError as error:
            raise DownloadError(str(error)) from None
        except ExchangeError as error:
            raise DownloadError(f"could not be fetched: {error}") from None

    async def _follow(self, url: str, max_bytes: int) -> bytes:
        headers = [("Accept", "image/*"), ("User-Agent", f"photogram/{version('photogram')}")]
        for _ in range(1 + MAX_REDIRECTS):
            target = self._guard.parse(url)
            addresses = await self._guard.resolve(target)
            answer = await get(target, addresses, headers, max_bytes, self._tls)
            if answer.status not in _REDIRECTS or answer.location is None:
                break
            try:
                url = urljoin(url, answer.location)
            except ValueError:
                raise DownloadError("leads on to no address") from None
        else:
            raise DownloadError(f"leads on more than {MAX_REDIRECTS} times")
        if answer.status != _OK:
            raise DownloadError(f"was answered with the status {answer.status}")
        return answer.body
