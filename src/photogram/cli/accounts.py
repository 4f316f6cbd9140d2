"""``photogram credits`` and ``ledger``: all work beside a running server."""

import json
from typing import Annotated

import typer

from photogram.cli.options import DataOption, JsonOption
from photogram.cli.store import ACTOR, open_existing_store
from photogram.ledger.entries import grant_reference, refund_reference
from photogram.ledger.pricing import format_credits, parse_credits

credit = typer.Typer(
    help="Grant and refund credits, read balances.", no_args_is_help=True, rich_markup_mode=None
)
ledger = typer.Typer(help="Check the ledger.", no_args_is_help=True, rich_markup_mode=None)

ReferenceOption = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Such as an invoice's number: again, it gives nothing more."),
]
AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's name.")]


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
            actor=ACTOR,
            idem_ref=None if reference is None else grant_reference(account_id, reference),
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
            actor=ACTOR,
            reason=reason,
            idem_ref=None if reference is None else refund_reference(job, reference),
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
