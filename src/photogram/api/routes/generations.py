"""An account's past requests, with the paths and shapes of Segmind's SDK.

Each row is one picture of a request, or a request without pictures; a page counts requests. What
other accounts have is nobody's business.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal, cast

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request

from photogram.accounts.models import Principal, Scope
from photogram.api.answers import as_credits
from photogram.api.deps import PrincipalDep, ServicesDep, needs
from photogram.api.job_answers import failed_answer
from photogram.api.job_paths import REQUEST_ID, JobDep
from photogram.api.links import Links, links_of
from photogram.api.openapi import describe_parameters, error_responses
from photogram.api.queries import Query
from photogram.core import clock
from photogram.core.errors import NotFoundError
from photogram.generation.records import JobFilter, JobPage, JobRecord, StoredImage
from photogram.generation.states import OPEN_STATES, JobState

DEFAULT_PER_PAGE = 20
MAX_PER_PAGE = 100
MAX_DAYS = 31
_DEFAULT_DAYS = 7

_STATES: dict[str, tuple[JobState, ...]] = {
    "COMPLETED": (JobState.SUCCEEDED,),
    "FAILED": (JobState.FAILED, JobState.CANCELLED),
    "PENDING": OPEN_STATES,
}
_SORTED_BY: dict[str, Literal["made", "model", "cost"]] = {
    "model_created": "made",
    "model_name": "model",
    "credits_deduction": "cost",
}

router = APIRouter(prefix="/inference-request", dependencies=[needs(Scope.READ)])


class HistoryRow(BaseModel):
    """A picture of a request; or a request without pictures."""

    request_id: str
    model_name: str
    model_status: Literal["COMPLETED", "FAILED", "PENDING"]
    status: Literal["COMPLETED", "FAILED", "PENDING"]
    credits_deduction: float | None = Field(
        description="What the whole request cost, on each of its rows; null if it is not known."
    )
    prompt: str | None = Field(description="Null once it was forgotten, as are the parameters.")
    parameters: dict[str, Any] | None
    request_body: dict[str, Any] | None
    generation_url: str | None
    expires_at: datetime | None = Field(description="Until then `generation_url` can be fetched.")
    latency_ms: int | None
    model_created: datetime
    created_at: datetime
    finished_at: datetime | None
    error: str | None
    code: str | None


class GenerationsAnswer(BaseModel):
    """A part of a list, newest first."""

    generations: list[HistoryRow]
    page: int
    per_page: int
    total: int = Field(description="Requests in the whole list.")
    total_pages: int


class HistoryAnswer(BaseModel):
    """A part of a list."""

    requests: list[HistoryRow]
    page: int
    per_page: int
    total: int = Field(description="Requests in the whole list.")
    total_pages: int


class RecentAnswer(BaseModel):
    """The newest pictures of a model."""

    generations: list[HistoryRow]


@router.get(
    "/generations",
    summary="Requests that have pictures",
    responses=error_responses(400, 401, 404, 503),
    openapi_extra=describe_parameters(
        *("query", "page", "model_name", "start_date", "end_date", "user_id")
    ),
)
async def list_generations(
    request: Request, services: ServicesDep, principal: PrincipalDep
) -> GenerationsAnswer:
    """Newest first; both dates (UTC) are in the list."""
    query = Query(request.query_params)
    page = query.integer("page", 1, 1, 10**6)
    since, last = query.date("start_date"), query.date("end_date")
    wanted = JobFilter(
        model=query.text("model_name"),
        states=_STATES["COMPLETED"],
        since=since,
        until=last and last + timedelta(days=1),
    )
    query.check()
    _check_user(query, principal)
    found = await services.generation.shelf.page(
        principal.account_id,
        wanted,
        offset=(page - 1) * DEFAULT_PER_PAGE,
        limit=DEFAULT_PER_PAGE,
    )
    rows = _rows(found, links_of(request, services.settings))
    return GenerationsAnswer(generations=rows, **_place(found, page, DEFAULT_PER_PAGE))


@router.get(
    "/recent-generations",
    summary="The newest pictures of a model",
    responses=error_responses(400, 401, 503),
    openapi_extra=describe_parameters("query", "model_name"),
)
async def list_recent(
    request: Request, services: ServicesDep, principal: PrincipalDep
) -> RecentAnswer:
    """Of at most so many requests as a page has."""
    query = Query(request.query_params)
    wanted = JobFilter(model=query.text("model_name"), states=_STATES["COMPLETED"])
    query.check()
    found = await services.generation.shelf.page(
        principal.account_id, wanted, offset=0, limit=DEFAULT_PER_PAGE
    )
    return RecentAnswer(generations=_rows(found, links_of(request, services.settings)))


@router.get(
    "/request-history",
    summary="All requests, with their cost and their end",
    responses=error_responses(400, 401, 404, 503),
    openapi_extra=describe_parameters(
        *("query", "page", "per_page", "from_date", "to_date", "model_name", "status"),
        *("key_id", "text", "user_id", "user_email", "sort_by", "sort_order"),
    ),
)
async def list_history(
    request: Request, services: ServicesDep, principal: PrincipalDep
) -> HistoryAnswer:
    """Of the last seven days, or of at most 31 others; both dates (UTC) are in the list."""
    query = Query(request.query_params)
    page = query.integer("page", 1, 1, 10**6)
    per_page = query.integer("per_page", DEFAULT_PER_PAGE, 1, MAX_PER_PAGE)
    wanted = _history_filter(query)
    query.check()
    _check_user(query, principal)
    found = await services.generation.shelf.page(
        principal.account_id, wanted, offset=(page - 1) * per_page, limit=per_page
    )
    rows = _rows(found, links_of(request, services.settings))
    return HistoryAnswer(requests=rows, **_place(found, page, per_page))


@router.get(
    "/request-history/{request_id}",
    summary="One request, with its cost and its end",
    responses=error_responses(401, 404, 503),
    openapi_extra={"parameters": [REQUEST_ID]},
)
async def get_history(request: Request, services: ServicesDep, job: JobDep) -> HistoryRow:
    """Of any age; its first picture."""
    return next(_rows_of(job, links_of(request, services.settings)))


def _history_filter(query: Query) -> JobFilter:
    today = datetime.combine(clock.now().date(), time(), UTC)
    last = query.date("to_date") or today
    since = query.date("from_date") or last - timedelta(days=_DEFAULT_DAYS)
    if not timedelta(0) <= last - since < timedelta(days=MAX_DAYS):
        query.refuse("from_date", f"must be to_date, or before it by fewer than {MAX_DAYS} days")
    status = query.choice("status", tuple(_STATES))
    sorted_by = query.choice("sort_by", tuple(_SORTED_BY)) or "model_created"
    return JobFilter(
        model=query.text("model_name"),
        states=_STATES[status] if status else (),
        key_id=query.text("key_id"),
        text=query.text("text"),
        since=since,
        until=last + timedelta(days=1),
        sort_by=_SORTED_BY[sorted_by],
        is_ascending=query.choice("sort_order", ("desc", "asc")) == "asc",
    )


def _check_user(query: Query, principal: Principal) -> None:
    user_id = query.text("user_id") or principal.account_id
    if user_id != principal.account_id or query.text("user_email"):
        raise NotFoundError("there is no such user here; leave user_id and user_email out")


def _place(found: JobPage, page: int, per_page: int) -> dict[str, int]:
    return {
        "page": page,
        "per_page": per_page,
        "total": found.num_in_all,
        "total_pages": -(-found.num_in_all // per_page),
    }


def _rows(found: JobPage, links: Links) -> list[HistoryRow]:
    return [row for job in found.jobs for row in _rows_of(job, links)]


def _rows_of(job: JobRecord, links: Links) -> Iterator[HistoryRow]:
    for image in job.images:
        yield _row(job, image, links)
    if not job.images:
        yield _row(job, None, links)


def _row(job: JobRecord, image: StoredImage | None, links: Links) -> HistoryRow:
    status = next(name for name, states in _STATES.items() if job.state in states)
    status = cast(Literal["COMPLETED", "FAILED", "PENDING"], status)
    failed = failed_answer(job.id, job) if status == "FAILED" else None
    inputs = _inputs(job)
    latency = job.finished_at - job.created_at if job.finished_at else None
    return HistoryRow(
        request_id=job.id,
        model_name=job.model,
        model_status=status,
        status=status,
        credits_deduction=_cost(job),
        prompt=job.order.prompt if job.order else None,
        parameters=inputs,
        request_body=inputs,
        generation_url=links.files + image.file_name if image else None,
        expires_at=image.expires_at if image else None,
        latency_ms=None if latency is None else round(latency / timedelta(milliseconds=1)),
        model_created=job.created_at,
        created_at=job.created_at,
        finished_at=job.finished_at,
        error=failed.error if failed else None,
        code=failed.code if failed else None,
    )


def _cost(job: JobRecord) -> float | None:
    """Credits."""
    if job.figures is not None:
        return as_credits(job.figures.cost_micro)
    return None if job.state == JobState.SUCCEEDED else 0.0


def _inputs(job: JobRecord) -> dict[str, Any] | None:
    """What was asked for, in the words of the API; sizes as they were painted."""
    order = job.order
    if order is None:
        return None
    return {
        "prompt": order.prompt,
        "samples": order.num_images,
        "guidance": order.guidance,
        "steps": order.num_steps,
        "width": order.width,
        "height": order.height,
        "seed": order.seed,
        **({} if order.strength is None else {"prompt_strength": order.strength}),
        "output_format": "jpg" if order.image_format == "jpeg" else order.image_format,
        "output_quality": order.quality,
    }
