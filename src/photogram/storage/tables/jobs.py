"""Jobs, the servers that work on them, their pictures, and the answers that may be asked for again.

A job's states only go forward but for a new attempt, as the triggers of `guards` keep it. A server
owns the jobs that it works on for as long as it says that it lives; `fence` counts the owners, so
that who has lost a job cannot close it.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    false,
    text,
)

from photogram.storage.tables.columns import UtcDateTime, metadata

server = Table(
    "server",
    metadata,
    Column("id", String, primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
    # Until then its jobs are its own.
    Column("lease_until", UtcDateTime, nullable=False),
)

job_step = Table(
    "job_step",
    metadata,
    Column("from_state", String, primary_key=True),
    Column("to_state", String, primary_key=True),
)

job = Table(
    "job",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("key_id", ForeignKey("api_key.id"), nullable=False),
    Column("hold_id", ForeignKey("transfer.id"), nullable=False, unique=True),
    Column(
        "state",
        String,
        CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')"),
        nullable=False,
    ),
    # The client's own name for its request, or one that the server gave it.
    Column("request_id", String),
    Column("model", String, nullable=False, server_default="flux-dev"),
    # JSON: what is to be painted, and the form of the answer. Forgotten some time after the end.
    Column("request", Text),
    # It outlives its client's connection and its server.
    Column("is_durable", Boolean, nullable=False, server_default=false()),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("server_id", ForeignKey("server.id")),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("deadline_at", UtcDateTime),
    Column("webhook_url", String),
    Column("webhook_secret", String),
    Column("error_code", String),
    Column("error_message", String),
    # JSON: what is told of the run beside its pictures.
    Column("result", Text),
    # With these, anyone can work out again what the job was priced at.
    Column("price_version", String, nullable=False),
    Column("num_images", Integer, nullable=False),
    Column("num_steps", Integer, nullable=False),
    Column("guidance", Float, nullable=False),
    Column("pixel_factor", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
)
# As text: with parameters in it, a query could not be seen to need the index of the same condition.
IS_OPEN = text("job.state IN ('queued', 'running')")
_is_open = job.c.state.in_(["queued", "running"])
Index("open_jobs", job.c.state, sqlite_where=_is_open, postgresql_where=_is_open)
Index("jobs_of_an_account", job.c.account_id, job.c.created_at)
Index("jobs_of_a_key", job.c.key_id, job.c.created_at)
Index("jobs_by_request_id", job.c.account_id, job.c.request_id, job.c.created_at)
Index("jobs_of_a_server", job.c.server_id)
_is_remembered = job.c.request.is_not(None)
Index(
    "remembered_jobs",
    job.c.finished_at,
    sqlite_where=_is_remembered,
    postgresql_where=_is_remembered,
)

# A picture of a job as a file: its row is written with the job's end, its file before.
image = Table(
    "image",
    metadata,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    # Whoever knows it may have the file.
    Column("file_name", String, nullable=False, unique=True),
    Column("seed", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("content_type", String, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("removed_at", UtcDateTime),
)
_is_kept = image.c.removed_at.is_(None)
Index("kept_images", image.c.expires_at, sqlite_where=_is_kept, postgresql_where=_is_kept)

# A file that an open durable job begins from; written before its job, gone some time after its end.
source = Table(
    "source",
    metadata,
    Column("file_name", String, primary_key=True),
    Column("job_id", ForeignKey("job.id"), nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("key", String, primary_key=True),
    # SHA-256 of the route and of what was asked for.
    Column("fingerprint", String, nullable=False),
    Column("job_id", ForeignKey("job.id"), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)
Index("idempotency_by_expiry", idempotency.c.expires_at)

# A file that an account has uploaded, to be named in its requests.
asset = Table(
    "asset",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("file_name", String, nullable=False, unique=True),
    Column("content_type", String, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)
Index("assets_by_expiry", asset.c.expires_at)
