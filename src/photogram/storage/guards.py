"""The rules that no column can state, as triggers: no code path, ours or an operator's, goes round.

A transfer never changes and never goes; it resolves only a hold that it fits, spends free credits
first, gives back only what a job has cost; and it moves the totals of its two accounts itself, so
that no balance is ever anything but a sum of transfers. A job starts queued and its state only
takes the steps that the table `job_step` allows: to run is a new attempt, to be queued again needs
a new owner. What operators have done is never rewritten.

The rules are written once; SQLite and PostgreSQL differ in how a trigger is spelled. They are made
anew after every change of the schema, so that a database's guards are always the code's.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Before `event` on `table`: refuse, with these words, `when` is true."""

    name: str
    event: str
    table: str
    when: str
    words: str


_REFUSALS = (
    _Refusal("transfer_never_changes", "UPDATE", "transfer", "TRUE", "a transfer never changes"),
    _Refusal("transfer_never_goes", "DELETE", "transfer", "TRUE", "a transfer never goes"),
    _Refusal(
        "transfer_resolves_its_hold",
        "INSERT",
        "transfer",
        """NEW.phase IN ('post', 'void') AND NOT EXISTS (
            SELECT 1 FROM transfer AS hold
            WHERE hold.id = NEW.pending_id AND hold.phase = 'pending'
            AND hold.debit_account_id = NEW.debit_account_id
            AND hold.credit_account_id = NEW.credit_account_id
            AND (NEW.amount_micro = hold.amount_micro
                 OR (NEW.phase = 'post' AND NEW.amount_micro < hold.amount_micro))
            AND NEW.free_micro = CASE WHEN NEW.amount_micro < hold.free_micro
                THEN NEW.amount_micro ELSE hold.free_micro END)""",
        "a transfer resolves a hold of its own accounts and size, and spends what is free first",
    ),
    _Refusal(
        "transfer_holds_free_credits_first",
        "INSERT",
        "transfer",
        """NEW.phase = 'pending' AND NOT EXISTS (
            SELECT 1 FROM account
            WHERE account.id = NEW.debit_account_id
            AND NEW.free_micro = CASE WHEN NEW.amount_micro < account.free_micro
                THEN NEW.amount_micro ELSE account.free_micro END)""",
        "a hold takes what is free first",
    ),
    _Refusal(
        "transfer_gives_what_may_be_given",
        "INSERT",
        "transfer",
        """NEW.phase = 'single' AND NEW.debit_account_id <> 'issued' AND (
            NEW.debit_account_id <> 'revenue' OR NEW.reason IS NULL OR NOT EXISTS (
                SELECT 1 FROM transfer AS paid
                WHERE paid.job_id = NEW.job_id AND paid.phase = 'post'
                AND paid.debit_account_id = NEW.credit_account_id
                AND paid.amount_micro >= NEW.amount_micro + COALESCE((
                    SELECT SUM(amount_micro) FROM transfer
                    WHERE job_id = NEW.job_id AND phase = 'single'), 0)
                AND paid.free_micro >= NEW.free_micro + COALESCE((
                    SELECT SUM(free_micro) FROM transfer
                    WHERE job_id = NEW.job_id AND phase = 'single'), 0)))""",
        "credits are issued, or a refund, with a reason, of what a job has cost",
    ),
    _Refusal("job_starts_queued", "INSERT", "job", "NEW.state <> 'queued'", "a job starts queued"),
    _Refusal(
        "job_goes_forward",
        "UPDATE OF state",
        "job",
        """NOT EXISTS (SELECT 1 FROM job_step
            WHERE from_state = OLD.state AND to_state = NEW.state)
        OR (NEW.state = 'running' AND NEW.attempt <> OLD.attempt + 1)
        OR (NEW.state = 'queued' AND NEW.fence <= OLD.fence)""",
        "a job does not take that step",
    ),
    _Refusal(
        "job_is_never_taken_back",
        "UPDATE OF fence, attempt",
        "job",
        """NEW.fence < OLD.fence OR (NEW.attempt < OLD.attempt AND NOT (
            OLD.state = 'running' AND NEW.state = 'queued' AND NEW.attempt = OLD.attempt - 1))""",
        "owners of a job only grow in number, and attempts too, but for one that is given up",
    ),
    _Refusal("audit_never_changes", "UPDATE", "audit_entry", "TRUE", "what was done never changes"),
    _Refusal("audit_never_goes", "DELETE", "audit_entry", "TRUE", "what was done never goes"),
)

_HELD = "(SELECT {column} FROM transfer AS hold WHERE hold.id = NEW.pending_id)"
_PENDING = f"""CASE NEW.phase WHEN 'pending' THEN NEW.amount_micro WHEN 'single' THEN 0
        ELSE - {_HELD.format(column="amount_micro")} END"""
_POSTED = "CASE WHEN NEW.phase IN ('single', 'post') THEN NEW.amount_micro ELSE 0 END"

_POSTING_NAME = "transfer_moves_its_accounts"
# The debit side first: a hold's is the customer, whose row is always locked before the system's.
_POSTING = f"""
    UPDATE account SET
        debits_pending = debits_pending + {_PENDING},
        debits_posted = debits_posted + {_POSTED},
        free_micro = free_micro + CASE WHEN kind <> 'customer' THEN 0
            ELSE CASE NEW.phase WHEN 'pending' THEN 0
                ELSE {_HELD.format(column="free_micro")} END
                - CASE NEW.phase WHEN 'void' THEN 0 ELSE NEW.free_micro END END
    WHERE id = NEW.debit_account_id;
    UPDATE account SET
        credits_pending = credits_pending + {_PENDING},
        credits_posted = credits_posted + {_POSTED},
        free_micro = free_micro + CASE WHEN kind = 'customer' THEN NEW.free_micro ELSE 0 END
    WHERE id = NEW.credit_account_id;
"""  # noqa: S608 - all parts are constants of this module

_TRUNCATION_NAME = "transfer_never_goes_at_once"
"""PostgreSQL alone can empty a table without touching its rows."""


def create_guards(connection: Connection) -> None:
    """Make all triggers, in the caller's transaction."""
    statements = _sqlite_statements if _is_sqlite(connection) else _postgres_statements
    for statement in statements():
        connection.exec_driver_sql(statement)


def drop_guards(connection: Connection) -> None:
    """Take all triggers away, for a change of the schema that makes them anew."""
    for name, table in _found(connection):
        if _is_sqlite(connection):
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        else:
            connection.exec_driver_sql(f"DROP TRIGGER {name} ON {table}")
            connection.exec_driver_sql(f"DROP FUNCTION {name}()")


def missing_guards(connection: Connection) -> list[str]:
    """Names of the guards that somebody has dropped from the database, or switched off."""
    wanted = {refusal.name for refusal in _REFUSALS} | {_POSTING_NAME}
    if not _is_sqlite(connection):
        wanted.add(_TRUNCATION_NAME)
    return sorted(wanted - {name for name, _ in _found(connection)})


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def _found(connection: Connection) -> list[tuple[str, str]]:
    """Name and table of each trigger that works."""
    if _is_sqlite(connection):
        query = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
    else:
        query = """
            SELECT tgname, relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
            WHERE relnamespace = current_schema()::regnamespace
            AND NOT tgisinternal AND tgenabled IN ('O', 'A')
        """
    return [(name, table) for name, table in connection.execute(text(query))]


def _sqlite_statements() -> list[str]:
    refusals = [
        f"CREATE TRIGGER {each.name} BEFORE {each.event} ON {each.table} WHEN {each.when}"
        f" BEGIN SELECT RAISE(ABORT, '{each.words}'); END"
        for each in _REFUSALS
    ]
    posting = f"CREATE TRIGGER {_POSTING_NAME} AFTER INSERT ON transfer BEGIN {_POSTING} END"
    return [*refusals, posting]


def _postgres_statements() -> list[str]:
    statements = []
    for each in _REFUSALS:
        body = f"IF {each.when} THEN {_raise(each.words)} END IF; RETURN NEW;"
        statements += _postgres_trigger(each.name, f"BEFORE {each.event}", each.table, body)
    statements += _postgres_trigger(
        _POSTING_NAME, "AFTER INSERT", "transfer", f"{_POSTING} RETURN NULL;"
    )
    statements += _postgres_trigger(
        _TRUNCATION_NAME,
        "BEFORE TRUNCATE",
        "transfer",
        _raise("a transfer never goes"),
        each="STATEMENT",
    )
    return statements


def _raise(words: str) -> str:
    return f"RAISE EXCEPTION '{words}' USING ERRCODE = 'integrity_constraint_violation';"


def _postgres_trigger(
    name: str, moment: str, table: str, body: str, *, each: str = "ROW"
) -> list[str]:
    return [
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$",
        f"CREATE TRIGGER {name} {moment} ON {table} FOR EACH {each} EXECUTE FUNCTION {name}()",
    ]
