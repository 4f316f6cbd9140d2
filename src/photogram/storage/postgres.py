"""PostgreSQL 15 and later, by psycopg 3: many writers, and a network in between.

A URL goes in; an engine comes out whose transactions end within their time, and whose commits are
known to have happened or not, even when the connection breaks in the middle of one. It knows no
tables.

Row locks are enough at READ COMMITTED: whatever is decided from a row is decided after it was
locked. What only reads sees one snapshot.

Source: https://www.postgresql.org/docs/current/functions-info.html, `pg_xact_status`.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final, LiteralString

import structlog
from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from photogram.core.errors import ConfigurationError, StorageError
from photogram.storage.backend import NUM_SURVEYS, OUTCOME_UNKNOWN

_MIN_VERSION: Final = 150_000
_CONNECT_TIMEOUT_S: Final = 5
_STATEMENT_TIMEOUT_S: Final = 10
_IDLE_TIMEOUT_S: Final = 15  # a server that is stopped in the middle must not keep its row locks
_LOOK_AGAIN_S: Final = 0.1
_RETRY_BUSY_S: Final = 1.0
_RETRY_BROKEN_S: Final = 5.0

_SERIALIZATION_FAILURE: Final = "40001"
_DEADLOCK: Final = "40P01"
_TOLD: dict[str, tuple[LiteralString, float | None]] = {
    _SERIALIZATION_FAILURE: ("the database is busy; try again in a moment", _RETRY_BUSY_S),
    _DEADLOCK: ("the database is busy; try again in a moment", _RETRY_BUSY_S),
    "55P03": ("the database is busy; try again in a moment", _RETRY_BUSY_S),  # lock timeout
    "57014": ("the database is busy; try again in a moment", _RETRY_BUSY_S),  # statement timeout
    "53100": ("the database's disk is full", _RETRY_BROKEN_S),
    "25006": ("the database can only be read now", _RETRY_BROKEN_S),
    "42501": ("the database's user may not do that", None),
}

_FACTS = """
    SELECT current_setting('server_version_num')::int AS version_num,
        current_setting('server_version') AS version, current_setting('fsync') AS fsync,
        current_setting('server_encoding') AS encoding,
        current_setting('synchronous_commit') AS synchronous_commit
"""

_OF_LIBPQ: Final = re.compile(
    "PATH|HOME|TMPDIR|TZ|LANG|LC_.*|LD_LIBRARY_PATH|PG.*|KRB5.*|SSL_CERT_(FILE|DIR)|OPENSSL_CONF"
)

_log = structlog.get_logger(__name__)


class Postgres:
    """A database of a PostgreSQL server.

    Args:
        url: Where it is; any form that libpq takes, beginning with ``postgresql://``.
        num_connections: How many transactions may run at once.
    """

    num_readers = 0

    def __init__(self, url: URL, *, num_connections: int) -> None:
        self.num_threads = num_connections
        self._url = url.set(drivername="postgresql+psycopg")
        self._version = "not connected"
        self.engine = create_engine(
            self._url,
            isolation_level="AUTOCOMMIT",  # `begin` alone begins transactions
            pool_size=num_connections,
            max_overflow=num_connections + NUM_SURVEYS,  # to look into lost commits, and surveys
            hide_parameters=True,  # an error's text is logged
            connect_args={
                "connect_timeout": _CONNECT_TIMEOUT_S,
                "application_name": "photogram",
                "client_encoding": "UTF8",
                # A server that is gone without a word is noticed within seconds.
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 1000 * _STATEMENT_TIMEOUT_S,
            },
        )

    def prepare(self) -> None:
        """Connect, and refuse a server that cannot keep what it is given."""
        try:
            with self.engine.connect() as connection:
                facts = connection.exec_driver_sql(_FACTS).one()
        except DBAPIError as error:
            cause = " ".join(str(error.orig).split())
            raise StorageError(f"the database cannot be reached: {cause}") from error
        self._version = facts.version
        if facts.version_num < _MIN_VERSION:
            raise StorageError(f"PostgreSQL {facts.version} is too old; 15 or later is needed")
        if facts.encoding != "UTF8":
            raise StorageError(f"the database's encoding is {facts.encoding}; UTF8 is needed")
        for name in ("fsync", "synchronous_commit"):
            if facts._mapping[name] == "off":  # noqa: SLF001 - SQLAlchemy's documented name
                _log.warning(
                    "this PostgreSQL may lose acknowledged transactions in a crash",
                    setting=name,
                    value="off",
                )

    def describe(self) -> str:
        """Version and place."""
        place = self._url.set(drivername="postgresql", query={}).render_as_string()
        return f"PostgreSQL {self._version} at {place}"

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def backup(self, target: Path) -> None:
        """Let `pg_dump` write an archive for `pg_restore`."""
        program = shutil.which("pg_dump")
        if program is None:
            raise ConfigurationError(
                "pg_dump was not found: install PostgreSQL's client programs, of the server's"
                " version or later, or back the database up by the server's own means"
            )
        url, password = self._url, self._url.password
        place = URL.create(
            "postgresql", url.username, None, url.host, url.port, url.database, url.query
        )
        words = [program, "--format=custom", f"--file={target}"]
        dump = subprocess.run(  # noqa: S603 - no shell, and the words are ours
            [*words, f"--dbname={place.render_as_string()}"],
            env=_dump_environment() | ({"PGPASSWORD": password} if password else {}),
            capture_output=True,
            text=True,
            check=False,
        )
        if dump.returncode != 0:
            raise StorageError(f"pg_dump failed: {dump.stderr.strip()}")

    def begin(self, connection: Connection, *, readonly: bool, patience_s: float) -> None:
        """Begin, with its timeouts, in one message."""
        mode = "REPEATABLE READ READ ONLY" if readonly else "READ COMMITTED"
        connection.exec_driver_sql(
            f"BEGIN ISOLATION LEVEL {mode};"
            f" SET LOCAL lock_timeout = {max(round(patience_s * 1000), 1)};"
            f" SET LOCAL statement_timeout = {_STATEMENT_TIMEOUT_S * 1000};"
            f" SET LOCAL idle_in_transaction_session_timeout = {_IDLE_TIMEOUT_S * 1000}"
        )

    def begin_survey(self, connection: Connection) -> None:
        """Begin a read of one snapshot; it blocks nobody, and takes the time that it takes."""
        connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def commit(self, connection: Connection, *, readonly: bool, deadline_s: float) -> None:
        """Commit; if the connection breaks meanwhile, ask on another one what became of it."""
        if readonly:
            connection.commit()
            return
        xid = connection.exec_driver_sql("SELECT pg_current_xact_id()::text").scalar_one()
        try:
            connection.commit()
        except DBAPIError as error:
            # Also after a word that the server shuts down: it may have come with the commit done.
            if not _is_unreachable(error) or not self._has_committed(xid, deadline_s):
                raise
            _log.warning("a commit was confirmed after its connection broke")

    def _has_committed(self, xid: str, deadline_s: float) -> bool:
        while True:
            try:
                with self.engine.connect() as connection:
                    status = connection.exec_driver_sql(
                        "SELECT pg_xact_status(%s::xid8)", (xid,)
                    ).scalar()
            except DBAPIError:
                status = "not reached"
            if status in ("committed", "aborted"):
                return bool(status == "committed")
            if status is None or time.monotonic() + _LOOK_AGAIN_S > deadline_s:
                raise StorageError(
                    "the database broke off before it confirmed; whether it was done is unknown",
                    code=OUTCOME_UNKNOWN,
                    retry_after_s=_RETRY_BROKEN_S,
                )
            time.sleep(_LOOK_AGAIN_S)

    def may_repeat(self, error: DBAPIError) -> bool:
        """After a deadlock, or while there is no connection: nothing was committed."""
        return _is_unreachable(error) or _sqlstate(error) in (_SERIALIZATION_FAILURE, _DEADLOCK)

    def told(self, error: DBAPIError) -> StorageError:
        """The driver's error as one that may be shown; the log has the details."""
        state = _sqlstate(error)
        # The primary message alone: what follows it may hold a row's values.
        diagnosis = getattr(error.orig, "diag", None)
        cause = getattr(diagnosis, "message_primary", None) or str(error.orig).strip()
        _log.error(
            "the database refused a transaction",
            cause=cause,
            sqlstate=state,
            statement=error.statement,
        )
        if isinstance(error, IntegrityError):
            return StorageError("the database refused a wrong change", code="storage_integrity")
        if state in _TOLD:
            message, retry_after_s = _TOLD[state]
            return StorageError(message, retry_after_s=retry_after_s)
        if _is_unreachable(error):
            return StorageError(
                "the database cannot be reached; the log says why", retry_after_s=_RETRY_BROKEN_S
            )
        return StorageError(
            "the database cannot be read or written; the log says why",
            retry_after_s=_RETRY_BROKEN_S,
        )


def _dump_environment() -> dict[str, str]:
    """What libpq and the loader read; a server's other variables may be secrets."""
    return {name: value for name, value in os.environ.items() if _OF_LIBPQ.fullmatch(name)}


def _sqlstate(error: DBAPIError) -> str | None:
    """The five letters that PostgreSQL gives an error; None where it said nothing."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state


def _is_unreachable(error: DBAPIError) -> bool:
    """The server is not there, is full, starting or stopping, or the connection broke."""
    state = _sqlstate(error)
    is_silent = isinstance(error, OperationalError) and state is None
    return error.connection_invalidated or is_silent or (state or "").startswith(("08", "57P"))
