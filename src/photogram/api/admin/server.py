"""The operators' listener: a second server in the event loop of the first, with no say over signals.

It starts with an `async with` and stops at its end, after the answers that are under way.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence

import structlog
import uvicorn
from starlette.routing import BaseRoute

from photogram.accounts.operators import OperatorService
from photogram.api.admin.app import create_admin_app
from photogram.api.deps import Services
from photogram.api.protocol import GuardedProtocol

_ANSWER_TIMEOUT_S = 5

_log = structlog.get_logger(__name__)


class _Companion(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to the other server."""
        yield


@contextlib.asynccontextmanager
async def serve_operators(
    services: Services,
    operators: OperatorService,
    listener: socket.socket | None,
    pages: Sequence[BaseRoute] = (),
) -> AsyncIterator[None]:
    """Serve the operators' API and pages meanwhile; without a listener, nothing."""
    if listener is None:
        yield
        return
    config = uvicorn.Config(
        create_admin_app(services, operators, pages),
        http=GuardedProtocol,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=_ANSWER_TIMEOUT_S,
    )
    server = _Companion(config)
    host, port = listener.getsockname()[:2]
    _log.info("the operators' API listens", host=host, port=port)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
