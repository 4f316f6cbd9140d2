"""What alembic runs for each of its commands; the connection, and its transaction, are the caller's."""

from alembic import context

from photogram.storage.tables.collection import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
