"""Keys and their use as JSON: what is asked for, and what is answered; for customers and operators.

What a body names and nobody knows is refused, not ignored: a misspelt limit would be no limit.
"""

from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, ValidationError
from starlette.requests import Request

from photogram.accounts.models import KeyInfo, NewKey, Rights, RightsChange
from photogram.accounts.rights import DEFAULT_OVERLAP_S, MAX_OVERLAP_S, expiry, read_scopes
from photogram.api.answers import as_credits
from photogram.api.body import read_fields
from photogram.core import clock
from photogram.core.errors import ErrorDetail, InvalidRequestError
from photogram.ledger.pricing import parse_credits
from photogram.ledger.reports import Period, Usage

_MAX_SHOWN = 40
_MAX_PROBLEMS = 20
_MAX_SCOPES = 16

Model = TypeVar("Model", bound=BaseModel)


def _read_credits(value: object) -> int | None:
    if value is None:
        return None
    try:
        return parse_credits(value if isinstance(value, str) else f"{Decimal(repr(value)):f}")
    except (InvalidRequestError, InvalidOperation):
        raise ValueError("must be a number of credits with at most 6 decimals") from None


Credits = Annotated[
    int,
    BeforeValidator(_read_credits, json_schema_input_type=float | str),
]
"""Micro-credits, from a number or text of credits."""


class KeyBody(BaseModel):
    """What a key is to be; what is left out is as it was, or as its maker's."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, description="What it is for.")
    scopes: list[str] | None = Field(
        None, max_length=_MAX_SCOPES, description="Of `generate`, `read`, `webhooks` and `keys`."
    )
    requests_per_minute: StrictInt | None = Field(
        None, description="Requests for pictures, prices and keys; null: the server's limit."
    )
    jobs_at_once: StrictInt | None = Field(
        None, description="Requests under way; null: only the account's limit."
    )
    spend_cap: Credits | None = Field(
        None, description="Credits that it may spend in all; null: what the account has."
    )
    expires_in_s: StrictInt | None = Field(
        None, description="Seconds from now until it expires; null: never."
    )

    def change(self, *, with_nulls: bool) -> RightsChange:
        """The rights that it names; a null is one that is left out, or a limit that is lifted.

        Raises:
            InvalidRequestError: A scope that is none, or an expiry out of range.
        """
        named = {
            name for name in self.model_fields_set if with_nulls or getattr(self, name) is not None
        }
        change: RightsChange = {}
        if self.scopes is not None:
            change["scopes"] = read_scopes(self.scopes)
        if "requests_per_minute" in named:
            change["requests_per_minute"] = self.requests_per_minute
        if "jobs_at_once" in named:
            change["jobs_at_once"] = self.jobs_at_once
        if "spend_cap" in named:
            change["spend_cap_micro"] = self.spend_cap
        if "expires_in_s" in named:
            change["expires_at"] = expiry(clock.now(), self.expires_in_s)
        return change

    def rights(self) -> Rights:
        """The rights of a key that has none yet; all scopes, where none are named."""
        return Rights(**self.change(with_nulls=False))


class RotateBody(BaseModel):
    """How a key is replaced."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: float = Field(
        DEFAULT_OVERLAP_S,
        strict=True,  # true is no number of seconds
        description=f"Seconds until the old key expires, at most {MAX_OVERLAP_S}.",
    )


class KeyAnswer(BaseModel):
    """A key, without its token."""

    key_id: str = Field(description="The public part of its token.")
    account: str
    name: str | None
    scopes: list[str]
    requests_per_minute: int | None
    jobs_at_once: int | None
    spend_cap: float | None
    spent: float = Field(description="Credits that its finished jobs have cost.")
    counts_as: str | None = Field(description="The key whose limits it shares.")
    state: str = Field(description="`valid`, `expired` or `revoked`.")
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, info: KeyInfo, **more: str) -> Self:
        """A key as it may be shown."""
        cap_micro = info.spend_cap_micro
        return cls(
            key_id=info.key_id,
            account=info.account_name,
            name=info.name,
            scopes=sorted(info.scopes),
            requests_per_minute=info.requests_per_minute,
            jobs_at_once=info.jobs_at_once,
            spend_cap=None if cap_micro is None else as_credits(cap_micro),
            spent=as_credits(info.settled_micro),
            counts_as=info.counts_as,
            state=info.state(clock.now()),
            created_at=info.created_at,
            expires_at=info.expires_at,
            revoked_at=info.revoked_at,
            **more,
        )


class NewKeyAnswer(KeyAnswer):
    """A key that was just made."""

    token: str = Field(description="The key itself; shown only now.")

    @classmethod
    def of_new(cls, key: NewKey) -> Self:
        """The only answer that holds a token."""
        return cls.of(key.info, token=key.token)


class KeysAnswer(BaseModel):
    """Keys, oldest first."""

    keys: list[KeyAnswer]

    @classmethod
    def of(cls, infos: list[KeyInfo]) -> Self:
        """As they may be shown."""
        return cls(keys=[KeyAnswer.of(info) for info in infos])


class UsageRow(BaseModel):
    """What one key did on one day (UTC)."""

    day: date
    account: str
    key_id: str
    key_name: str | None
    jobs: int = Field(description="Jobs that were delivered.")
    images: int
    credits: float = Field(description="What they cost.")
    refunded: float = Field(description="What was given back of it until now.")


class UsageAnswer(BaseModel):
    """Usage by day and key."""

    since: date
    until: date
    usage: list[UsageRow]

    @classmethod
    def of(cls, period: Period, rows: list[Usage]) -> Self:
        """The rows of a period."""
        usage = [
            UsageRow(
                day=row.day,
                account=row.account_name,
                key_id=row.key_id,
                key_name=row.key_name,
                jobs=row.num_jobs,
                images=row.num_images,
                credits=as_credits(row.settled_micro),
                refunded=as_credits(row.refunded_micro),
            )
            for row in rows
        ]
        return cls(since=period.since, until=period.until, usage=usage)


async def read_body(request: Request, model: type[Model], *, may_be_empty: bool = False) -> Model:
    """A request's JSON as one of the models of what is asked for.

    Raises:
        InvalidRequestError: It cannot be read, or a field is wrong; at least the first are named.
    """
    is_empty = request.headers.get("content-length", "0") == "0"
    if may_be_empty and is_empty and "transfer-encoding" not in request.headers:
        return model()
    fields = await read_fields(request, timeout_s=request.app.state.body_timeout_s)
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        details = [
            ErrorDetail(".".join(map(str, each["loc"]))[:_MAX_SHOWN], each["msg"])
            for each in error.errors(include_url=False, include_input=False)[:_MAX_PROBLEMS]
        ]
    words = "; ".join(f"{detail.field}: {detail.message}" for detail in details)
    raise InvalidRequestError(words, details=details)


def read_period(request: Request) -> Period:
    """The days that a query names.

    Raises:
        InvalidRequestError: They are no period.
    """
    query = request.query_params
    return Period.read(query.get("since"), query.get("until"), clock.now().date())


def describe_body(model: type[BaseModel], *, is_required: bool = True) -> dict[str, Any]:
    """A body for the OpenAPI document."""
    schema = model.model_json_schema()
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": is_required, "content": content}}
