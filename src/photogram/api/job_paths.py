"""The job that a path names: a dependency of every route that tells of one."""

from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import Request

from photogram.api.deps import PrincipalDep, ServicesDep
from photogram.core.errors import NotFoundError
from photogram.core.ids import is_sane
from photogram.generation.records import JobRecord

# Not an argument of the functions: FastAPI would announce a 422 of its own for it.
REQUEST_ID: dict[str, Any] = {
    "name": "request_id",
    "in": "path",
    "required": True,
    "description": "A `request_id`, or the `x-request-id` of a request.",
    "schema": {"type": "string"},
}


def name_of(request: Request) -> str:
    """What the client calls the job."""
    return str(request.path_params["request_id"])


async def find_job(request: Request, services: ServicesDep, principal: PrincipalDep) -> JobRecord:
    """The job that the path names, of the account that asks.

    Raises:
        NotFoundError: The account has none of that name.
    """
    if not is_sane(name_of(request)):
        raise NotFoundError("there is no such request")
    return await services.generation.shelf.find(principal.account_id, name_of(request))


JobDep = Annotated[JobRecord, Depends(find_job)]
