"""``photogram keys`` and ``admin-keys``: both work beside a running server.

A token is printed once, when its key is made.
"""

import json
import re
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from photogram.accounts.models import KeyInfo, NewKey, Rights, Scope
from photogram.accounts.rights import expiry, read_scopes
from photogram.cli.options import DataOption, JsonOption
from photogram.cli.store import ACTOR, open_any_store, open_existing_store
from photogram.core import clock
from photogram.core.errors import InvalidRequestError
from photogram.ledger.pricing import format_credits, parse_credits

keys = typer.Typer(
    help="Create, list, rotate and revoke API keys.", no_args_is_help=True, rich_markup_mode=None
)
admin_keys = typer.Typer(
    help="Create, list and revoke operators' keys, for the admin API alone.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_ALL_SCOPES = ",".join(Scope)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "": 1}
_DURATION = re.compile(r"([0-9]{1,9})([smhd]?)")

KeyArgument = Annotated[str, typer.Argument(metavar="KEY_ID", help="As `keys list` shows it.")]
NameOption = Annotated[str | None, typer.Option(metavar="TEXT", help="What it is for.")]


@keys.command("create")
def create_key(
    *,
    account: Annotated[
        str, typer.Option("--account", metavar="NAME", help="Made if there is none.")
    ],
    name: NameOption = None,
    scopes: Annotated[
        str, typer.Option(metavar="WORDS", help="What it may do, with commas.")
    ] = _ALL_SCOPES,
    requests_per_minute: Annotated[
        int | None, typer.Option(metavar="N", help="Instead of the server's limit.")
    ] = None,
    jobs_at_once: Annotated[
        int | None, typer.Option(metavar="N", help="Beside the account's limit.")
    ] = None,
    spend_cap: Annotated[
        str | None, typer.Option(metavar="CREDITS", help="It may spend no more in all.")
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option(metavar="TIME", help="Such as 90d or 12h; left out: never.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. Its token is shown now and never again."""
    rights = Rights(
        scopes=read_scopes(word.strip() for word in scopes.split(",") if word.strip()),
        requests_per_minute=requests_per_minute,
        jobs_at_once=jobs_at_once,
        spend_cap_micro=None if spend_cap is None else parse_credits(spend_cap),
        expires_at=None if expires_in is None else expiry(clock.now(), _read_seconds(expires_in)),
    )
    with open_any_store(data) as store:
        key = store.accounts.create_key(account, name=name, rights=rights, actor=ACTOR)
    _show_token(key, as_json=as_json)


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
        print(json.dumps([_as_json(info) for info in infos]))
        return
    now = clock.now()
    table = Table("key", "account", "created", "state", "name", "scopes", "spent", box=None)
    for info in infos:
        spent = format_credits(info.settled_micro)
        if info.spend_cap_micro is not None:
            spent += f" of {format_credits(info.spend_cap_micro)}"
        table.add_row(
            *(info.key_id, info.account_name, f"{info.created_at:%Y-%m-%d %H:%M}"),
            *(info.state(now), info.name or "", ",".join(sorted(info.scopes)), spent),
        )
    Console().print(table, markup=False)


@keys.command("rotate")
def rotate_key(
    key_id: KeyArgument,
    *,
    overlap: Annotated[
        str, typer.Option(metavar="TIME", help="The old key works so long; 0: not at all.")
    ] = "24h",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a key by one with the same rights. Its token is shown now and never again."""
    overlap_s = _read_seconds(overlap)
    with open_existing_store(data) as store:
        key = store.accounts.rotate_key(key_id, overlap_s, actor=ACTOR)
    _show_token(key, as_json=as_json)


@keys.command("revoke")
def revoke_key(key_id: KeyArgument, *, data: DataOption = None) -> None:
    """Revoke a key, at once and for good."""
    with open_existing_store(data) as store:
        store.accounts.revoke_key(key_id, actor=ACTOR)
    print(f"Key {key_id} is revoked.")


@admin_keys.command("create")
def create_admin_key(
    *,
    name: Annotated[str, typer.Option(metavar="TEXT", help="Who uses it.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an operator's key. Its token is shown now and never again."""
    with open_any_store(data) as store:
        key = store.operators.create_key(name, actor=ACTOR)
    if as_json:
        print(json.dumps({"token": key.token, "key_id": key.key_id, "name": key.name}))
    else:
        print(f"{key.token}\nOperator's key {key.key_id}, '{key.name}'; shown only now.")


@admin_keys.command("list")
def list_admin_keys(*, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List operators' keys by their public ids."""
    with open_existing_store(data) as store:
        infos = store.operators.list_keys()
    if as_json:
        rows = [
            {
                "key_id": info.key_id,
                "name": info.name,
                "created_at": info.created_at.isoformat(),
                "revoked_at": info.revoked_at.isoformat() if info.revoked_at else None,
            }
            for info in infos
        ]
        print(json.dumps(rows))
        return
    table = Table("key", "name", "created", "state", box=None)
    for info in infos:
        state = "revoked" if info.revoked_at else "valid"
        table.add_row(info.key_id, info.name, f"{info.created_at:%Y-%m-%d %H:%M}", state)
    Console().print(table, markup=False)


@admin_keys.command("revoke")
def revoke_admin_key(key_id: KeyArgument, *, data: DataOption = None) -> None:
    """Revoke an operator's key, at once and for good."""
    with open_existing_store(data) as store:
        store.operators.revoke_key(key_id, actor=ACTOR)
    print(f"Operator's key {key_id} is revoked.")


def _show_token(key: NewKey, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"token": key.token, "key_id": key.key_id, "account": key.account_name}))
    else:
        print(f"{key.token}\nKey {key.key_id} of account '{key.account_name}'; shown only now.")


def _as_json(info: KeyInfo) -> dict[str, object]:
    cap_micro = info.spend_cap_micro
    return {
        "key_id": info.key_id,
        "account": info.account_name,
        "created_at": info.created_at.isoformat(),
        "revoked_at": info.revoked_at.isoformat() if info.revoked_at else None,
        "expires_at": info.expires_at.isoformat() if info.expires_at else None,
        "name": info.name,
        "scopes": sorted(info.scopes),
        "requests_per_minute": info.requests_per_minute,
        "jobs_at_once": info.jobs_at_once,
        "spend_cap": None if cap_micro is None else format_credits(cap_micro),
        "spent": format_credits(info.settled_micro),
        "counts_as": info.counts_as,
    }


def _read_seconds(words: str) -> int:
    match = _DURATION.fullmatch(words)
    if match is None:
        raise InvalidRequestError(
            f"{words!r} is no time: a whole number with s, m, h or d behind it, such as 90d"
        )
    return int(match[1]) * _UNITS_S[match[2]]
