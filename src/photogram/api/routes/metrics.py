"""Numbers for Prometheus. Public, as the checks of health are."""

from typing import cast

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from photogram.api.deps import ServicesDep
from photogram.api.metrics import CONTENT_TYPE, MetricsPage, RequestCounts

router = APIRouter()


@router.get("/metrics", summary="Numbers for Prometheus", response_class=PlainTextResponse)
async def get_metrics(request: Request, services: ServicesDep) -> Response:
    """Of this server's process and its worker."""
    page = MetricsPage()
    cast(RequestCounts, request.app.state.request_counts).tell(page)
    page.tell_engine(services.engine)
    return Response(page.text, media_type=CONTENT_TYPE)
