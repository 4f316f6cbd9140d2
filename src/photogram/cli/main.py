"""The command ``photogram``: joins the commands, and turns errors into a line and an exit status.

Exit status: 0 done; 1 it was tried and failed; 2 the words or the settings are wrong.
"""

import sys

import typer
from rich.console import Console

from photogram.cli import accounts, database, doctor, generate, keys, models, records, serve
from photogram.core.errors import (
    CheckpointError,
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PhotogramError,
)

_WRONG_WORDS = (
    CheckpointError,
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
)

app = typer.Typer(
    name="photogram",
    help="A self-hosted FLUX.1 [dev] image API: serve it, paint with it, manage keys and credits.",
    epilog="Every option of `serve` can also be set as an environment variable PHOTOGRAM_NAME.",
    no_args_is_help=True,
    rich_markup_mode=None,  # "[dev]" is no markup
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("generate")(generate.generate)
app.add_typer(keys.keys, name="keys")
app.add_typer(keys.admin_keys, name="admin-keys")
app.add_typer(accounts.credit, name="credits")
app.command("usage")(records.usage)
app.add_typer(records.audit, name="audit")
app.add_typer(accounts.ledger, name="ledger")
app.add_typer(database.db, name="db")
app.add_typer(models.models, name="models")
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run the command line; a user's mistake ends in one line on stderr, never in a traceback."""
    try:
        app()
    except PhotogramError as error:
        Console(stderr=True, soft_wrap=True).print(
            f"photogram: {error.message}", style="red", markup=False, highlight=False
        )
        sys.exit(2 if isinstance(error, _WRONG_WORDS) else 1)
