"""The SQL of servers and of the jobs that one takes over from another.

Every function runs inside its caller's transaction. A server owns its jobs until its lease ends; it
renews the lease as long as it lives. Instants are the database's.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, update

from photogram.generation.repository import jobs
from photogram.generation.states import OPEN_STATES
from photogram.storage.instants import database_now
from photogram.storage.tables.jobs import job, server
from photogram.storage.tables.ledger import transfer

_INSERT = insert(server)
_RENEW = (
    update(server)
    .where(server.c.id == bindparam("server_id"))
    .values(lease_until=bindparam("until"))
)
_END_OTHERS = (
    update(server)
    .where(server.c.id != bindparam("server_id"), server.c.lease_until > bindparam("now"))
    .values(lease_until=bindparam("now"))
)
_ORPHANS = (
    select(
        job.c.id,
        job.c.account_id,
        job.c.model,
        job.c.fence,
        job.c.attempt,
        job.c.is_durable,
        func.coalesce(job.c.request, "").label("request"),  # the first releases kept none
        job.c.deadline_at,
        transfer.c.amount_micro.label("held_micro"),
    )
    .join(transfer, transfer.c.id == job.c.hold_id)
    .join(server, server.c.id == job.c.server_id, isouter=True)
    .where(
        job.c.state.in_(OPEN_STATES),
        or_(
            job.c.server_id.is_(None),
            # Who asks lives, whatever its own lease says after the database was away.
            and_(server.c.id != bindparam("owner"), server.c.lease_until <= bindparam("now")),
        ),
    )
    .order_by(job.c.created_at, job.c.id)
    .limit(bindparam("at_most"))
    .with_for_update(of=job, skip_locked=True)
)
_FORGET = delete(server).where(
    server.c.lease_until < bindparam("before"),
    ~select(job.c.id).where(job.c.server_id == server.c.id).exists(),
)


@dataclass(frozen=True, slots=True)
class Orphan:
    """An open job that was taken over, and its new fence.

    Attributes:
        model: The slug of what paints it.
        attempt: How often it was begun.
        request: What is to be painted, as `KeptOrder` writes it.
    """

    id: str
    account_id: str
    model: str
    fence: int
    attempt: int
    is_durable: bool
    request: str
    deadline_at: datetime | None
    held_micro: int


def register(connection: Connection, server_id: str, lease: timedelta) -> None:
    """A new server begins."""
    now = database_now(connection)
    values = {"id": server_id, "started_at": now, "lease_until": now + lease}
    connection.execute(_INSERT, values)


def renew(connection: Connection, server_id: str, lease: timedelta) -> None:
    """The server lives. A lease of nothing ends its time."""
    until = database_now(connection) + lease
    connection.execute(_RENEW, {"server_id": server_id, "until": until})


def end_others(connection: Connection, server_id: str) -> None:
    """No other server can be alive: whoever asks holds what only one can hold."""
    connection.execute(_END_OTHERS, {"server_id": server_id, "now": database_now(connection)})


def take_over(connection: Connection, server_id: str, at_most: int) -> list[Orphan]:
    """Take open jobs whose server is gone, oldest first.

    It changes rows of jobs alone: who holds the rows of many customers must not wait for more.
    """
    values = {"owner": server_id, "now": database_now(connection), "at_most": at_most}
    rows = connection.execute(_ORPHANS, values).all()
    return [
        Orphan(**row._asdict() | {"fence": jobs.take(connection, row.id, row.fence, server_id)})
        for row in rows
    ]


def forget_old(connection: Connection, age: timedelta) -> int:
    """Remove servers that ended long ago and that no job names; returns how many."""
    before = database_now(connection) - age
    return connection.execute(_FORGET, {"before": before}).rowcount
