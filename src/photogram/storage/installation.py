"""What a database as a whole was made with, each under a name of its own.

Every function runs inside its caller's transaction.
"""

from typing import Final

from sqlalchemy import Connection, select

from photogram.core import ids
from photogram.storage.tables.columns import insert_unless_there
from photogram.storage.tables.keys import installation

_ID: Final = "id"


def find(connection: Connection, name: str) -> str | None:
    """What is there under this name."""
    query = select(installation.c.value).where(installation.c.name == name)
    return connection.execute(query).scalar()


def install(connection: Connection, name: str, value: str) -> str:
    """Write it, unless it is there; returns what is there then."""
    connection.execute(insert_unless_there(installation), {"name": name, "value": value})
    query = select(installation.c.value).where(installation.c.name == name)
    installed: str = connection.execute(query).scalar_one()
    return installed


def database_id(connection: Connection) -> str:
    """Which database this is, wherever it is moved or restored; made at the first call."""
    return install(connection, _ID, ids.new_id())
