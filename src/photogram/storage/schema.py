"""The schema's version: what a database has, what this Photogram needs, and the way between.

A connection, in its caller's transaction, goes in. The revisions themselves are alembic's, in
`migrations`; a change happens wholly or not at all, on SQLite too.
"""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text

from photogram.core.errors import StorageError
from photogram.storage import guards
from photogram.storage.tables.collection import metadata

HEAD: Final = "0004"

_FIRST: Final = "0001"
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
# SQLite files were numbered by themselves before alembic did it. A Photogram of that time refuses
# numbers above 1, and must refuse whatever is newer.
_NUMBERED_BY_ALEMBIC: Final = 2
_UPGRADING: Final = 0x70686F746F  # the key of PostgreSQL's advisory lock; any number of our own


def revision(connection: Connection) -> str | None:
    """The schema's revision; None where there are no tables.

    Raises:
        StorageError: It is a newer Photogram's.
    """
    found = inspect(connection)
    if found.has_table("alembic_version"):
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    else:
        version = _FIRST if found.has_table("account") else None
        if connection.dialect.name == "sqlite":
            number = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            version = str(number) if number > 1 else version
    if version is not None and version > HEAD:
        raise StorageError(
            f"the database was made by a newer Photogram (schema {version}; this one knows {HEAD});"
            " use that version"
        )
    return version


def needs_upgrade(connection: Connection) -> bool:
    """Whether the schema is not yet this Photogram's.

    Raises:
        StorageError: It is a newer one's.
    """
    return revision(connection) != HEAD


def upgrade(connection: Connection, may_upgrade: bool) -> None:  # noqa: FBT001 - as `transact` calls it
    """Make all tables, or bring those of an older Photogram up to date.

    Raises:
        StorageError: It is an older one's, and not `may_upgrade`; or a newer one's.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        # Two first starts at once: the second one finds all done.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADING})")
    found = revision(connection)
    if found == HEAD:
        return
    if found is not None and not may_upgrade:
        raise StorageError(
            f"the database is an older Photogram's (schema {found}; this one needs {HEAD}):"
            " stop every server that uses it, and run `photogram db upgrade`"
        )
    guards.drop_guards(connection)
    config = _config(connection)
    if found == _FIRST and not inspect(connection).has_table("alembic_version"):
        command.stamp(config, _FIRST)
    command.upgrade(config, HEAD)
    guards.create_guards(connection)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA user_version = {_NUMBERED_BY_ALEMBIC}")


def problems(connection: Connection) -> list[str]:
    """What is damaged or missing, in sentences; of one snapshot."""
    found: list[str] = []
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql("PRAGMA integrity_check").scalars()
        found += [f"the file is damaged: {words}" for words in rows if words != "ok"]
        rows = connection.exec_driver_sql("PRAGMA foreign_key_check").scalars()
        found += [f"a row of {table} points to nothing" for table in rows]
    missing = metadata.tables.keys() - set(inspect(connection).get_table_names())
    found += [f"the table {name} is missing" for name in sorted(missing)]
    found += [f"the guard {name} is missing" for name in guards.missing_guards(connection)]
    return found


def touch(connection: Connection) -> None:
    """Write something that changes nothing."""
    connection.execute(text("UPDATE alembic_version SET version_num = version_num"))


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
