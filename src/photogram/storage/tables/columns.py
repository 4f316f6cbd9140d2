"""What all tables are made of: their collection, the type of instants, and one form of insert.

A database gets its tables from `migrations`, never from here; a test compares the two. Instants are
UTC.
"""

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, MetaData, Table, TypeDecorator
from sqlalchemy.dialects.postgresql import Insert, insert

metadata = MetaData()


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC instant, also where the database keeps no zone (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def insert_unless_there(table: Table) -> Insert:
    """An insert that does nothing (`rowcount` 0) where a unique value is taken.

    Of two that write the same value at once, one waits until the other's is there or is not.
    """
    # PostgreSQL's form of a statement that SQLite spells in the same way. SQLAlchemy forgets the
    # count of an insert with the cursor unless it is told otherwise, and psycopg's then says -1.
    return insert(table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
