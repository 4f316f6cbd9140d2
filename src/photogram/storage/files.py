"""Files that appear whole and durably, or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Gives an empty draft (mode 0600) beside `path`; it becomes `path` when the block ends well.

    Raises:
        FileExistsError: There is such a file already; it is left as it is.
        OSError: It cannot be written.
    """
    draft_fd, draft_name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(draft_fd)
    draft = Path(draft_name)
    try:
        yield draft
        sync(draft)
        # A link fails where a rename would replace: of two processes, the first one's stays.
        path.hardlink_to(draft)
    finally:
        draft.unlink()
    sync(path.parent)


def sync(path: Path) -> None:
    """Bring a file, or a folder's list of files, to the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
