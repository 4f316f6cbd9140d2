"""Several pictures in one body: ``multipart/mixed`` and zip.

Pictures come in by the names of their files (letters, digits, `.` and `-`), bytes go out; the same
pictures give the same zip. Knows nothing of prices or HTTP.
"""

import io
import zipfile
from collections.abc import Mapping

from photogram.core.messages import EncodedImage


def multipart(files: Mapping[str, EncodedImage], boundary: str) -> bytes:
    """The files as the parts of a ``multipart/mixed`` body.

    Source: RFC 2046, section 5.1.

    Args:
        files: In the order of the parts.
        boundary: At most 70 letters and digits, unguessable: it must stand in no file.
    """
    body = bytearray()
    for name, image in files.items():
        body += (
            f"--{boundary}\r\n"
            f"Content-Type: {image.content_type}\r\n"
            f'Content-Disposition: attachment; filename="{name}"\r\n'
            f"X-Seed-Value: {image.seed}\r\n\r\n"
        ).encode()
        body += image.data + b"\r\n"
    return bytes(body + f"--{boundary}--\r\n".encode())


def archive(files: Mapping[str, EncodedImage]) -> bytes:
    """The files in a zip. They are stored as they are: pictures are compressed already."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        for name, image in files.items():
            # A `ZipInfo` without a time is from 1980: the same pictures are the same bytes.
            target.writestr(zipfile.ZipInfo(name), image.data)
    return buffer.getvalue()
