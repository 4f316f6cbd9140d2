"""The files that pages stand on: scripts, styles and pictures, under addresses that change with them.

A folder comes in, and is read once; answers go out. All files share one version, the hash of them
all, so that scripts may name each other by relative paths, and none of them is ever out of date in
a cache. It knows nothing of the pages.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_VERSION_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class _Asset:
    content_type: str
    content: bytes
    compressed: bytes


class Assets:
    """The files of one folder, in memory.

    Args:
        folder: Files of the types that pages are made of; folders in it are not looked at.
    """

    path: Final = "/static/{version}/{name}"

    def __init__(self, folder: Path) -> None:
        self._assets = {
            file.name: _read(file) for file in sorted(folder.iterdir()) if file.suffix in _TYPES
        }
        everything = hashlib.sha256()
        for name, asset in self._assets.items():
            everything.update(f"{name} {len(asset.content)}\n".encode())
            everything.update(asset.content)
        self.version = everything.hexdigest()[:_VERSION_CHARACTERS]

    def url(self, name: str) -> str:
        """The address of a file, from the root of the server.

        Raises:
            KeyError: There is no such file.
        """
        self._assets[name]
        return self.path.format(version=self.version, name=name)

    async def serve(self, request: Request) -> Response:
        """A file; for good under its own version.

        A page of another server, older or newer, gets what is here, which is better than nothing,
        but not to keep.

        Raises:
            HTTPException: 404, there is no such file.
        """
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        is_current = request.path_params["version"] == self.version
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable" if is_current else "no-cache",
            "Vary": "Accept-Encoding",
        }
        content = asset.content
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            content = asset.compressed
        return Response(content, headers=headers, media_type=asset.content_type)


def _read(file: Path) -> _Asset:
    content = file.read_bytes()
    return _Asset(_TYPES[file.suffix], content, gzip.compress(content, mtime=0))
