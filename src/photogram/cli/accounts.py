"""``photogram keys``, ``credits`` and ``ledger``: all work beside a running server."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from photogram.cli.options import DataOption, JsonOption
from photogram.core.errors import NotFoundError
from photogram.core.settings import load_settings
from photogram.core.telemetry import configure_logging
from photogram.ledger.pricing import format_credits, parse_credits

if TYPE_CHECKING:
    from photogram.bootstrap import Store

keys = typer.Typer(
    help="Create, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None
)
credit = typer.Typer(
    help="Grant credits and read balances.", no_args_is_help=True, rich_markup_mode=None
)
ledger = typer.Typer(help="Check the ledger.", no_args_is_help=True, rich_markup_mode=None)

AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's name.")]


@keys.command("create")
def create_key(
    *,
    account: Annotated[
        str, typer.Option("--account", metavar="NAME", help="Made if there is none.")
    ],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. Its token is shown now and never again."""
    with _open_store(data, may_be_new=True) as store:
        key = store.accounts.create_key(account)
    if as_json:
        print(json.dumps({"token": key.token, "key_id": key.key_id, "account": key.account_name}))
    else:
        print(f"{key.token}\nKey {key.key_id} of account '{key.account_name}'; shown only now.")


@keys.command("list")
def list_keys(
    *,
    account: Annotated[
        str | None, typer.Option("--account", metavar="NAME", help="Only this account's.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List keys by their public ids."""
    with _open_store(data) as store:
        infos = store.accounts.list_keys(account)
    if as_json:
        rows = [
            {
                "key_id": info.key_id,
                "account": info.account_name,
                "created_at": info.created_at.isoformat(),
                "revoked_at": info.revoked_at.isoformat() if info.revoked_at else None,
            }
            for info in infos
        ]
        print(json.dumps(rows))
        return
    table = Table("key", "account", "created", "state", box=None)
    for info in infos:
        state = "revoked" if info.revoked_at else "valid"
        table.add_row(info.key_id, info.account_name, f"{info.created_at:%Y-%m-%d %H:%M}", state)
    Console().print(table)


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `keys list` shows it.")],
    *,
    data: DataOption = None,
) -> None:
    """Revoke a key, at once and for good."""
    with _open_store(data) as store:
        store.accounts.revoke_key(key_id)
    print(f"Key {key_id} is revoked.")


@credit.command("grant")
def grant(
    account: AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Such as 10 or 0.5.")],
    *,
    data: DataOption = None,
) -> None:
    """Add credits to an account."""
    amount_micro = parse_credits(amount)
    with _open_store(data) as store:
        account_id = store.accounts.account_id(account)
        balance = store.ledger.grant(account_id, amount_micro, actor="cli")
    print(f"Granted {format_credits(amount_micro)}; '{account}' has {format_credits(balance)}.")


@credit.command("balance")
def balance(
    account: AccountArgument, *, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Print an account's available credits."""
    with _open_store(data) as store:
        available = format_credits(store.ledger.balance(store.accounts.account_id(account)))
    print(json.dumps({"account": account, "credits": available}) if as_json else available)


@ledger.command("check")
def check(*, data: DataOption = None) -> None:
    """Prove the sums: every balance, every hold and every transfer; exit 1 if one is wrong."""
    with _open_store(data) as store:
        report = store.ledger.check()
    for violation in report.violations:
        print(violation)
    if not report.is_ok:
        raise typer.Exit(1)
    print(
        f"The ledger holds: {report.num_transfers} transfers, {report.num_open_holds} open holds."
    )


def _open_store(data: Path | None, *, may_be_new: bool = False) -> AbstractContextManager["Store"]:
    """The store in the data folder; a mistyped folder is told, not made."""
    from photogram.bootstrap import open_store
    from photogram.storage.folder import DataFolder

    settings = load_settings(data=data)
    configure_logging(settings.log_level)  # to stderr: stdout is for the answer
    if not may_be_new and not DataFolder(settings.data).database_path.exists():
        raise NotFoundError(f"no server has used the data folder {settings.data}; see --data")
    return open_store(settings.data)
