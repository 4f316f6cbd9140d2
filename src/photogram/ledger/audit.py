"""The proof that the ledger holds: every rule recomputed from the transfers themselves.

It trusts no balance column and no constraint, since it exists for the day when one of them was
wrong. It changes nothing.
"""

from sqlalchemy import Connection, text

from photogram.ledger.entries import LedgerReport
from photogram.storage.guards import missing_guards

# Each query returns one sentence per violation, and nothing where the rule holds.
_RULES = (
    # I1: what is debited is credited.
    """
    SELECT 'all debits posted are ' || SUM(debits_posted) || ', all credits posted '
        || SUM(credits_posted) FROM account HAVING SUM(debits_posted) <> SUM(credits_posted)
    """,
    """
    SELECT 'all debits pending are ' || SUM(debits_pending) || ', all credits pending '
        || SUM(credits_pending) FROM account HAVING SUM(debits_pending) <> SUM(credits_pending)
    """,
    # I2: an account's columns are the sums of its transfers.
    """
    WITH moved AS (
        SELECT entry.debit_account_id, entry.credit_account_id, entry.amount_micro,
            entry.free_micro,
            CASE WHEN entry.phase = 'pending' THEN 1 ELSE 0 END AS is_pending
        FROM transfer AS entry
        WHERE entry.phase IN ('single', 'post')
        OR (entry.phase = 'pending'
            AND NOT EXISTS (SELECT 1 FROM transfer AS ends WHERE ends.pending_id = entry.id))
    ), side AS (
        SELECT debit_account_id AS account_id,
            amount_micro * is_pending AS debits_pending,
            amount_micro * (1 - is_pending) AS debits_posted,
            0 AS credits_pending, 0 AS credits_posted, -free_micro AS free_micro
        FROM moved
        UNION ALL
        SELECT credit_account_id, 0, 0,
            amount_micro * is_pending, amount_micro * (1 - is_pending), free_micro
        FROM moved
    ), total AS (
        SELECT account_id, SUM(debits_pending) AS debits_pending,
            SUM(debits_posted) AS debits_posted, SUM(credits_pending) AS credits_pending,
            SUM(credits_posted) AS credits_posted, SUM(free_micro) AS free_micro
        FROM side GROUP BY account_id
    )
    SELECT 'account ' || account.id || ' differs from the sum of its transfers'
    FROM account LEFT JOIN total ON total.account_id = account.id
    WHERE account.debits_pending <> COALESCE(total.debits_pending, 0)
    OR account.debits_posted <> COALESCE(total.debits_posted, 0)
    OR account.credits_pending <> COALESCE(total.credits_pending, 0)
    OR account.credits_posted <> COALESCE(total.credits_posted, 0)
    OR account.free_micro
        <> CASE WHEN account.kind = 'customer' THEN COALESCE(total.free_micro, 0) ELSE 0 END
    """,
    # I3: nobody owes.
    """
    SELECT 'account ' || id || ' is below zero' FROM account
    WHERE kind = 'customer' AND credits_posted - debits_posted - debits_pending < 0
    """,
    # I4: a hold is resolved at most once, by its own accounts, and for no more than it held.
    """
    SELECT 'hold ' || pending_id || ' is resolved ' || COUNT(*) || ' times'
    FROM transfer WHERE pending_id IS NOT NULL GROUP BY pending_id HAVING COUNT(*) > 1
    """,
    """
    SELECT 'job ' || paid.job_id || ' was given back more than it has cost'
    FROM transfer AS paid JOIN transfer AS refund
        ON refund.job_id = paid.job_id AND refund.phase = 'single'
    WHERE paid.phase = 'post' GROUP BY paid.job_id, paid.amount_micro, paid.free_micro
    HAVING SUM(refund.amount_micro) > paid.amount_micro
    OR SUM(refund.free_micro) > paid.free_micro
    """,
    """
    SELECT 'transfer ' || refund.id || ' gives back what was not paid'
    FROM transfer AS refund LEFT JOIN transfer AS paid
        ON paid.job_id = refund.job_id AND paid.phase = 'post'
        AND paid.debit_account_id = refund.credit_account_id
    WHERE refund.phase = 'single' AND refund.debit_account_id <> 'issued' AND paid.id IS NULL
    """,
    """
    SELECT 'transfer ' || ends.id || ' does not fit the hold that it resolves'
    FROM transfer AS ends LEFT JOIN transfer AS hold
        ON hold.id = ends.pending_id AND hold.phase = 'pending'
        AND hold.debit_account_id = ends.debit_account_id
        AND hold.credit_account_id = ends.credit_account_id
    WHERE ends.phase IN ('post', 'void') AND (hold.id IS NULL
        OR ends.amount_micro > hold.amount_micro
        OR (ends.phase = 'void' AND ends.amount_micro <> hold.amount_micro)
        OR ends.free_micro <> CASE WHEN ends.amount_micro < hold.free_micro
            THEN ends.amount_micro ELSE hold.free_micro END)
    """,
    # I5, I6, I7: a job's state and its hold's agree.
    """
    SELECT 'hold ' || hold.id || ' has no job' FROM transfer AS hold
    WHERE hold.phase = 'pending' AND NOT EXISTS (SELECT 1 FROM job WHERE job.hold_id = hold.id)
    """,
    """
    SELECT 'job ' || job.id || ' is ' || job.state || ', its hold '
        || CASE ends.phase WHEN 'post' THEN 'settled' WHEN 'void' THEN 'released'
           ELSE 'open' END
    FROM job LEFT JOIN transfer AS ends ON ends.pending_id = job.hold_id
    WHERE COALESCE(ends.phase, 'open') <> CASE
        WHEN job.state = 'succeeded' THEN 'post'
        WHEN job.state IN ('failed', 'cancelled') THEN 'void'
        ELSE 'open' END
    """,
    """
    SELECT 'key ' || api_key.id || ' has not spent what its jobs have cost'
    FROM api_key LEFT JOIN (
        SELECT job.key_id, SUM(paid.amount_micro) AS total_micro
        FROM job JOIN transfer AS paid ON paid.pending_id = job.hold_id AND paid.phase = 'post'
        GROUP BY job.key_id
    ) AS spent ON spent.key_id = api_key.id
    WHERE api_key.settled_micro <> COALESCE(spent.total_micro, 0)
    """,
    # I8: one reference, one effect.
    """
    SELECT 'the reference ' || idem_ref || ' has ' || COUNT(*) || ' transfers'
    FROM transfer GROUP BY idem_ref HAVING COUNT(*) > 1
    """,
    # I9: what was issued is with the customers or was earned.
    """
    SELECT 'issued, held and earned credits differ by ' || total FROM (
        SELECT SUM(credits_posted - debits_posted) AS total FROM account
    ) AS balance WHERE total <> 0
    """,
)

_COUNTS = """
    SELECT (SELECT COUNT(*) FROM account WHERE kind = 'customer'),
        (SELECT COUNT(*) FROM transfer),
        (SELECT COUNT(*) FROM transfer AS hold WHERE hold.phase = 'pending'
            AND NOT EXISTS (SELECT 1 FROM transfer AS ends WHERE ends.pending_id = hold.id))
    """


def audit(connection: Connection) -> LedgerReport:
    """Ask every rule of one snapshot.

    I10 (as many are admitted as are paid for) and I12 (no job is closed twice) are no states but
    races: tests prove them.
    """
    violations = [
        str(sentence) for rule in _RULES for sentence in connection.execute(text(rule)).scalars()
    ]
    # I11: without its guards, a transfer could have been changed.
    violations += [f"the guard {name} is missing" for name in missing_guards(connection)]
    return LedgerReport(tuple(violations), *connection.execute(text(_COUNTS)).one())
