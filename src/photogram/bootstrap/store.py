"""Opens the request column's durable half: the data folder, the database, and what stands on them.

Settings come in; an open store comes out, for a server that holds the folder alone or for commands
beside it. It knows no model and no HTTP.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from photogram.accounts.operators import OperatorService
from photogram.accounts.service import AccountService
from photogram.accounts.sessions import SessionService
from photogram.core.settings import Settings
from photogram.ledger.service import LedgerService
from photogram.storage import installation
from photogram.storage.blobs import BlobFolder
from photogram.storage.database import Database
from photogram.storage.folder import DataFolder


@dataclass(frozen=True, slots=True)
class Store:
    """The request column's durable half: what the CLI works on beside a running server."""

    folder: DataFolder
    database: Database
    blobs: BlobFolder
    accounts: AccountService
    sessions: SessionService
    operators: OperatorService
    ledger: LedgerService


@contextlib.contextmanager
def open_store(settings: Settings, *, is_alone: bool = False) -> Iterator[Store]:
    """Open the data folder and the database, making what is not there.

    Args:
        settings: Which ones.
        is_alone: Lock the folder for this process, bring an older SQLite file up to date, and
            take the results folder for the database. Otherwise other processes may have all open.

    Raises:
        ConfigurationError: The folder is to be locked, and another server holds it; or it, or the
            results folder, belongs to another database.
        StorageError: One of them cannot be read or written, or is another version's.
    """
    with DataFolder.open(settings.data) as folder:
        if is_alone:
            folder.lock()
        # Another server, with another folder, may be using the same PostgreSQL.
        may_upgrade = is_alone and settings.database_url is None
        with _open_database(settings, folder, may_upgrade=may_upgrade) as database:
            pepper = folder.pepper()
            accounts = AccountService(database, pepper)
            accounts.prove_pepper()
            blobs = _blobs(settings, folder)
            if is_alone:
                blobs.prepare()
                blobs.claim(database.transact(installation.database_id))
            yield Store(
                folder,
                database,
                blobs,
                accounts,
                SessionService(database, pepper),
                OperatorService(database, pepper),
                LedgerService(database),
            )


@contextlib.contextmanager
def open_for_upgrade(settings: Settings) -> Iterator[Database]:
    """Open the database after bringing its schema up to date; no server may be using it.

    Raises:
        ConfigurationError: A server holds the data folder.
        StorageError: It cannot be read or written, or is a newer version's.
    """
    with DataFolder.open(settings.data) as folder:
        folder.lock()
        with _open_database(settings, folder, may_upgrade=True) as database:
            yield database


def _blobs(settings: Settings, folder: DataFolder) -> BlobFolder:
    path = settings.results or folder.path / "results"
    return BlobFolder(path, floor_bytes=settings.disk_floor_mib * 2**20)


def _open_database(
    settings: Settings, folder: DataFolder, *, may_upgrade: bool
) -> contextlib.closing[Database]:
    if settings.database_url is None:
        url = folder.database_url
    else:
        url = settings.database_url.get_secret_value()
    return contextlib.closing(
        Database.open(url, may_upgrade=may_upgrade, num_connections=settings.database_connections)
    )
