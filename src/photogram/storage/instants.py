"""The present, by the clock that all users of one database share."""

from datetime import UTC, datetime

from sqlalchemy import Connection, text

from photogram.core import clock

_NOW = text("SELECT clock_timestamp()")


def database_now(connection: Connection) -> datetime:
    """Aware UTC: PostgreSQL's own clock; of SQLite, whose users share a machine, this machine's."""
    if connection.dialect.name == "sqlite":
        return clock.now()
    now: datetime = connection.execute(_NOW).scalar_one()
    return now.astimezone(UTC)
