"""Absolute addresses of what this server offers, as its clients reach it.

They are absolute because the SDKs of callers take them as they are.
"""

from dataclasses import dataclass

from starlette.requests import Request

from photogram.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses under one base, which has no slash at its end."""

    base: str

    @property
    def files(self) -> str:
        """What the name of a file is put behind."""
        return f"{self.base}/v1/files/"

    def request(self, request_id: str) -> str:
        """What has become of a request."""
        return f"{self.base}/v2/requests/{request_id}"


def links_of(request: Request, settings: Settings) -> Links:
    """Addresses under the server's public one; without it, under the one that was called."""
    return Links(settings.public_url or str(request.base_url).rstrip("/"))
