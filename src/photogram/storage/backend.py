"""What a kind of database has to do for `Database`, which runs the transactions themselves."""

from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from photogram.core.errors import StorageError

OUTCOME_UNKNOWN: Final = "storage_outcome_unknown"
"""The code of a `StorageError` after which a transaction may have happened, or not."""

NUM_SURVEYS: Final = 4
"""Long reads that may run at once, on connections beside those of the transactions."""


class Backend(Protocol):
    """One place where data is kept. Its engine's connections begin nothing by themselves.

    Attributes:
        num_threads: Transactions that may run at once, beside `NUM_SURVEYS` long reads.
        num_readers: Threads beside them for transactions that only read; 0: they share.
    """

    engine: Engine
    num_threads: int
    num_readers: int

    def prepare(self) -> None:
        """Prove, once, that it is reachable and durable.

        Raises:
            StorageError: It is not.
        """
        ...

    def describe(self) -> str:
        """Library, version and mode, for people; without secrets."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...

    def backup(self, target: Path) -> None:
        """Write a copy of one moment into an empty file; nobody is kept waiting.

        Raises:
            ConfigurationError: What it takes is not installed.
            StorageError: It failed.
        """
        ...

    def begin(self, connection: Connection, *, readonly: bool, patience_s: float) -> None:
        """Begin a transaction that waits at most so long for the locks of others."""
        ...

    def begin_survey(self, connection: Connection) -> None:
        """Begin a read of one snapshot that may take long."""
        ...

    def commit(self, connection: Connection, *, readonly: bool, deadline_s: float) -> None:
        """Commit, and know whether it has happened.

        Args:
            connection: In a transaction.
            readonly: It was begun as such.
            deadline_s: `time.monotonic` until when an unknown outcome may be looked into.

        Raises:
            DBAPIError: It has not happened.
            StorageError: Nobody can tell (code `OUTCOME_UNKNOWN`).
        """
        ...

    def may_repeat(self, error: DBAPIError) -> bool:
        """Whether a transaction that ended so has not happened, and may work the next time."""
        ...

    def told(self, error: DBAPIError) -> StorageError:
        """The driver's error as one that may be shown."""
        ...
