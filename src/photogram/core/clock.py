"""The one wall clock. Durations use `time.perf_counter` or `time.monotonic` where they are taken."""

from datetime import UTC, datetime


def now() -> datetime:
    """This instant, aware, in UTC."""
    return datetime.now(UTC)
