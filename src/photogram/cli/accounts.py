"""``photogram keys``, ``credits`` and ``ledger``: all work beside a running server."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from photogram.cli.options import DataOption, JsonOption
from photogram.cli.store import open_any_store, open_existing_store
from photogram.ledger.pricing import format_credits, parse_credits

keys = typer.Typer(
    help="Create, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None
)
credit = typer.Typer(
    help="Grant and refund credits, read balances.", no_args_is_help=True, rich_markup_mode=None
)
ledger = typer.Typer(help="Check the ledger.", no_args_is_help=True, rich_markup_mode=None)

_ACTOR = "cli"

ReferenceOption = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Such as an invoice's number: again, it gives nothing more."),
]
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
    with open_any_store(data) as store:
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
    with open_existing_store(data) as store:
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
    with open_existing_store(data) as store:
        store.accounts.revoke_key(key_id)
    print(f"Key {key_id} is revoked.")


@credit.command("grant")
def grant(
    account: AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Such as 10 or 0.5.")],
    *,
    free: Annotated[bool, typer.Option("--free", help="Not paid for; spent first.")] = False,
    reference: ReferenceOption = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="For the record.")] = None,
    data: DataOption = None,
) -> None:
    """Add credits to an account."""
    amount_micro = parse_credits(amount)
    with open_existing_store(data) as store:
        account_id = store.accounts.account_id(account)
        balance = store.ledger.grant(
            account_id,
            amount_micro,
            actor=_ACTOR,
            idem_ref=None if reference is None else f"grant:{account_id}:{reference}",
            is_free=free,
            reason=reason,
        )
    print(f"Granted {format_credits(amount_micro)}; '{account}' has {format_credits(balance)}.")


@credit.command("refund")
def refund(
    job: Annotated[str, typer.Argument(metavar="JOB", help="A job that was paid for.")],
    amount: Annotated[
        str | None, typer.Argument(metavar="[AMOUNT]", help="A part of it; left out: all.")
    ] = None,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="For the record.")],
    reference: ReferenceOption = None,
    data: DataOption = None,
) -> None:
    """Give back what a job has cost, paid credits first."""
    amount_micro = None if amount is None else parse_credits(amount)
    with open_existing_store(data) as store:
        given_micro = store.ledger.refund(
            job,
            amount_micro,
            actor=_ACTOR,
            reason=reason,
            idem_ref=None if reference is None else f"refund:{job}:{reference}",
        )
    print(f"Gave back {format_credits(given_micro)} for job {job}.")


@credit.command("balance")
def balance(
    account: AccountArgument, *, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Print an account's available credits."""
    with open_existing_store(data) as store:
        available = format_credits(store.ledger.balance(store.accounts.account_id(account)))
    print(json.dumps({"account": account, "credits": available}) if as_json else available)


@ledger.command("check")
def check(*, data: DataOption = None) -> None:
    """Prove the sums: every balance, every hold and every transfer; exit 1 if one is wrong."""
    with open_existing_store(data) as store:
        report = store.ledger.check()
    for violation in report.violations:
        print(violation)
    if not report.is_ok:
        raise typer.Exit(1)
    print(
        f"The ledger holds: {report.num_transfers} transfers, {report.num_open_holds} open holds."
    )
