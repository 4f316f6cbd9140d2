"""The audit log: who changed what, written in the transaction of the change itself.

An actor is ``cli``, ``server``, ``admin:KEY_ID`` or ``key:KEY_ID``. Entries are never changed, as the
database's guards keep it. Secrets never come here: only ids, limits, amounts and names do.
"""

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, insert, or_, select

from photogram.core import clock, ids
from photogram.core.telemetry import cut_tokens
from photogram.storage.tables.keys import audit_entry

_INSERT = insert(audit_entry)
_ENTRIES = (
    select(
        audit_entry.c.id,
        audit_entry.c.created_at,
        audit_entry.c.actor,
        audit_entry.c.action,
        audit_entry.c.subject,
        audit_entry.c.details,
    )
    .order_by(audit_entry.c.created_at.desc(), audit_entry.c.id.desc())
    .limit(bindparam("limit"))
)
_mark = audit_entry.alias("mark")
_AT = select(_mark.c.created_at).where(_mark.c.id == bindparam("before")).scalar_subquery()
_EARLIER_ENTRIES = _ENTRIES.where(
    or_(
        audit_entry.c.created_at < _AT,
        and_(audit_entry.c.created_at == _AT, audit_entry.c.id < bindparam("before")),
    )
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One change.

    Attributes:
        action: What was done, such as ``key.create``.
        subject: The id of what it was done to.
        details: A JSON object.
    """

    id: str
    created_at: datetime
    actor: str
    action: str
    subject: str
    details: str


def record(
    connection: Connection, actor: str, action: str, subject: str, **details: object
) -> None:
    """Write an entry; of the details, those that are None are left out."""
    known = {name: value for name, value in details.items() if value is not None}
    values = {
        "id": ids.new_id(),
        "actor": actor,
        "action": action,
        "subject": subject,
        # A reason or a name is somebody's own words, and they may have pasted a key.
        "details": cut_tokens(json.dumps(known, default=str)),
        "created_at": clock.now(),
    }
    connection.execute(_INSERT, values)


def entries(connection: Connection, limit: int, before: str | None = None) -> list[Entry]:
    """The newest entries, or the newest that are older than the one with the id `before`."""
    query = _ENTRIES if before is None else _EARLIER_ENTRIES
    return [Entry(*row) for row in connection.execute(query, {"limit": limit, "before": before})]
