"""``photogram db``: bring a database up to date, look after it, and copy it."""

from pathlib import Path
from typing import Annotated

import typer

from photogram.cli.options import DataOption
from photogram.cli.store import open_existing_store
from photogram.core.settings import load_settings
from photogram.core.telemetry import configure_logging

db = typer.Typer(
    help="Upgrade, check and back up the database.", no_args_is_help=True, rich_markup_mode=None
)


@db.command("upgrade")
def upgrade(*, data: DataOption = None) -> None:
    """Make the tables, or bring an older version's up to date. No server may be running."""
    from photogram.bootstrap.store import open_for_upgrade

    settings = load_settings(data=data)
    configure_logging(settings.log_level)
    with open_for_upgrade(settings) as database:
        print(f"{database.describe()}: up to date.")


@db.command("check")
def check(*, data: DataOption = None) -> None:
    """Look for damage and for missing guards; exit 1 if there is any. See also `ledger check`."""
    from photogram.storage.schema import HEAD, problems

    with open_existing_store(data) as store:
        found = store.database.survey(problems)
        name = store.database.describe()
    for problem in found:
        print(problem)
    if found:
        raise typer.Exit(1)
    print(f"{name}: schema {HEAD}, nothing is wrong.")


@db.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Must not be there yet.")],
    *,
    data: DataOption = None,
) -> None:
    """Copy the database, also beside a running server.

    Of SQLite, FILE is a database like the one in the data folder; of PostgreSQL, an archive for
    `pg_restore`. Keys work only with the file `pepper` of the data folder: keep a copy of it, too.
    """
    with open_existing_store(data) as store:
        store.database.backup(file)
    print(f"Wrote {file}.")
