"""The rules that no column can state, as triggers: no code path, ours or an operator's, goes round.

A transfer never changes and never goes; it resolves only a hold that it fits; a job starts queued
and its states only go forward.
"""

from sqlalchemy import Connection, text

_GUARDS = {
    "transfer_never_changes": """
        BEFORE UPDATE ON transfer
        BEGIN SELECT RAISE(ABORT, 'a transfer never changes'); END""",
    "transfer_never_goes": """
        BEFORE DELETE ON transfer
        BEGIN SELECT RAISE(ABORT, 'a transfer never goes'); END""",
    "transfer_resolves_its_hold": """
        BEFORE INSERT ON transfer WHEN NEW.phase IN ('post', 'void') AND NOT EXISTS (
            SELECT 1 FROM transfer AS hold
            WHERE hold.id = NEW.pending_id AND hold.phase = 'pending'
            AND hold.debit_account_id = NEW.debit_account_id
            AND hold.credit_account_id = NEW.credit_account_id
            AND (NEW.amount_micro = hold.amount_micro
                 OR (NEW.phase = 'post' AND NEW.amount_micro < hold.amount_micro)))
        BEGIN SELECT RAISE(ABORT, 'a transfer resolves a hold of its own accounts and size'); END""",
    "job_starts_queued": """
        BEFORE INSERT ON job WHEN NEW.state <> 'queued'
        BEGIN SELECT RAISE(ABORT, 'a job starts queued'); END""",
    "job_goes_forward": """
        BEFORE UPDATE OF state ON job WHEN NOT (
            (OLD.state = 'queued' AND NEW.state IN ('running', 'failed', 'cancelled'))
            OR (OLD.state = 'running' AND NEW.state IN ('succeeded', 'failed', 'cancelled')))
        BEGIN SELECT RAISE(ABORT, 'a job does not go back'); END""",
}


def create_guards(connection: Connection) -> None:
    """Make all triggers, in the caller's transaction."""
    for name, body in _GUARDS.items():
        connection.exec_driver_sql(f"CREATE TRIGGER {name} {body}")


def missing_guards(connection: Connection) -> list[str]:
    """Names of the guards that somebody has dropped from the database."""
    found = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
    return sorted(_GUARDS.keys() - set(found.scalars()))
