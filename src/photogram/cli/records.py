"""``photogram usage`` and ``audit``: what was used, and who changed what."""

import csv
import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from photogram.cli.options import DataOption, JsonOption
from photogram.cli.store import open_existing_store
from photogram.core import clock
from photogram.ledger.pricing import format_credits

audit = typer.Typer(help="Read the audit log.", no_args_is_help=True, rich_markup_mode=None)

_COLUMNS = ("day", "account", "key", "key name", "jobs", "images", "credits", "refunded")
_FORMULA_STARTS = ("=", "+", "-", "@")


def usage(
    *,
    account: Annotated[
        str | None, typer.Option("--account", metavar="NAME", help="Only this account's.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="First day (UTC); 30 days, if left out.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Last day; today, if left out.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    data: DataOption = None,
) -> None:
    """Print jobs, pictures and credits by day and key."""
    from photogram.ledger.reports import Period

    period = Period.read(since, until, clock.now().date())
    with open_existing_store(data) as store:
        account_id = None if account is None else store.accounts.account_id(account)
        used = store.ledger.usage(period, account_id)
    rows = [
        (
            *(row.day.isoformat(), row.account_name, row.key_id, row.key_name or ""),
            *(str(row.num_jobs), str(row.num_images)),
            *(format_credits(row.settled_micro), format_credits(row.refunded_micro)),
        )
        for row in used
    ]
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(column.replace(" ", "_") for column in _COLUMNS)
        writer.writerows(map(_no_formula, row) for row in rows)
        return
    table = Table(*_COLUMNS, box=None)
    for row in rows:
        table.add_row(*row)
    Console().print(table, markup=False)


@audit.command("list")
def list_entries(
    *,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="At most.")] = 100,
    before: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what is older than this entry.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print who changed what, the newest first."""
    with open_existing_store(data) as store:
        entries = store.operators.journal(limit, before)
    if as_json:
        rows = [
            {
                "id": entry.id,
                "created_at": entry.created_at.isoformat(),
                "actor": entry.actor,
                "action": entry.action,
                "subject": entry.subject,
                "details": json.loads(entry.details),
            }
            for entry in entries
        ]
        print(json.dumps(rows))
        return
    table = Table("time", "actor", "action", "subject", "details", box=None)
    for entry in entries:
        instant = f"{entry.created_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(instant, entry.actor, entry.action, entry.subject, entry.details)
    Console().print(table, markup=False)


def _no_formula(cell: str) -> str:
    """A cell that no spreadsheet computes: customers choose the names of their keys."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
