"""Whether the server lives, and whether it can serve. Public, and neither enqueues work."""

import asyncio
from typing import Any, cast

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from photogram.api.answers import HealthAnswer, ReadyAnswer, UnreadyAnswer
from photogram.api.deps import Services, ServicesDep
from photogram.api.errors import error_response
from photogram.core.errors import EngineOverloadedError
from photogram.storage.database import Database

router = APIRouter()

_DATABASE_TIMEOUT_S = 1.0
_RETRY_AFTER_S = 5.0
_UNREADY: dict[int | str, dict[str, Any]] = {
    503: {"model": UnreadyAnswer, "description": "At least one named check fails."}
}


class DatabaseProbe:
    """Asks whether the database can be written; however many ask, it is one write at a time.

    Anybody may ask, so the answers must not cost more than the first.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ping: asyncio.Task[None] | None = None

    async def is_writable(self) -> bool:
        """Whether a write that is under way, or else a new one, succeeds in time."""
        if self._ping is None or self._ping.done():
            self._ping = asyncio.create_task(self._database.ping())
        ping = self._ping
        await asyncio.wait({ping}, timeout=_DATABASE_TIMEOUT_S)
        return ping.done() and ping.exception() is None


@router.get("/healthz", summary="Whether the event loop turns")
async def get_health() -> HealthAnswer:
    """Touches neither the model nor the database."""
    return HealthAnswer(status="ok")


@router.get(
    "/readyz",
    summary="Whether pictures can be made",
    response_model=ReadyAnswer,
    responses=_UNREADY,
)
async def get_readiness(request: Request, services: ServicesDep) -> Response:
    """The named checks; 503 if one of them fails."""
    probe = cast(DatabaseProbe, request.app.state.database_probe)
    checks = {
        "engine": services.engine.is_ready,
        "database": await probe.is_writable(),
        "disk": _has_free_disk(services),
        "accepting": not services.engine.is_draining,
    }
    failed = ", ".join(name for name, passes in checks.items() if not passes)
    if not failed:
        return JSONResponse(ReadyAnswer(status="ready", checks=checks).model_dump())
    error = EngineOverloadedError(
        f"not ready: {failed}", code="not_ready", retry_after_s=_RETRY_AFTER_S
    )
    return error_response(request, error, status="unready", checks=checks)


def _has_free_disk(services: Services) -> bool:
    """For the database as for pictures, which may lie on another disk."""
    if not services.generation.has_room():
        return False
    try:
        free_bytes = services.folder.free_bytes()
    except OSError:
        return False
    return free_bytes >= services.settings.disk_floor_mib * 1024 * 1024
