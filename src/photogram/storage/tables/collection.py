"""All tables together: whoever compares or migrates needs every one of them to be known."""

from photogram.storage.tables import jobs, keys, ledger, webhooks
from photogram.storage.tables.columns import metadata

__all__ = ["jobs", "keys", "ledger", "metadata", "webhooks"]
