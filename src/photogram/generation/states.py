"""The states of a job, and which may follow which.

The same rules stand in the database as a trigger, and a test compares the two.
"""

from enum import StrEnum


class JobState(StrEnum):
    """Where a job is."""

    QUEUED = "queued"  # -> running, failed, cancelled
    RUNNING = "running"  # -> succeeded, failed, cancelled; queued, for another attempt
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(set(JobState) - {JobState.RUNNING}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}

OPEN_STATES = tuple(state for state in JobState if TRANSITIONS[state])
"""States that a job does not end in; its credits are held while it is in one."""
