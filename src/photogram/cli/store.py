"""Opening accounts and database for a command, beside a running server or without one."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from photogram.core.errors import NotFoundError
from photogram.core.settings import load_settings
from photogram.core.telemetry import configure_logging

if TYPE_CHECKING:
    from photogram.bootstrap.store import Store

ACTOR = "cli"
"""Who did what a command has done, for the record."""


def open_existing_store(data: Path | None) -> AbstractContextManager["Store"]:
    """The store of a server that has run before; a mistyped folder is told, not made."""
    from photogram.storage.folder import DataFolder

    settings = load_settings(data=data)
    if settings.database_url is None and not DataFolder(settings.data).database_path.exists():
        raise NotFoundError(f"no server has used the data folder {settings.data}; see --data")
    return open_any_store(data)


def open_any_store(data: Path | None) -> AbstractContextManager["Store"]:
    """The store, which is made if there is none."""
    from photogram.bootstrap.store import open_store

    settings = load_settings(data=data)
    configure_logging(settings.log_level)  # to stderr: stdout is for the answer
    return open_store(settings)
