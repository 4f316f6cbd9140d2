"""A run, watched for exactly as long as its client stays.

Whoever waits here for pictures gives up when the client hangs up, and then the run is cancelled
and its credits are whole again. Knows nothing of the form of the answer.
"""

import asyncio
import contextlib

from starlette.types import Receive

from photogram.api.errors import ClientGoneError
from photogram.core.errors import PhotogramError
from photogram.generation.closing import Outcome
from photogram.generation.service import GenerationService, Run


async def result_unless_left(generation: GenerationService, run: Run, receive: Receive) -> Outcome:
    """Wait for the pictures, but no longer than the client does.

    Raises:
        ClientGoneError: It hung up; the run is cancelled and its credits are whole again.
        PhotogramError: As `GenerationService.result`.
    """
    result = asyncio.create_task(generation.result(run))
    left = asyncio.create_task(hang_up(receive))
    try:
        await asyncio.wait({result, left}, return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise ClientGoneError
        return await result
    finally:
        left.cancel()
        await end_run(generation, run, result)


async def hang_up(receive: Receive) -> None:
    """Return when the client hangs up; its body has been read, so nothing else can come."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def end_run(generation: GenerationService, run: Run, result: asyncio.Task[Outcome]) -> None:
    """Give up a run whose result is not there yet, and wait until it has ended.

    A durable one goes on by itself.
    """
    if not result.done():
        generation.leave(run)
        if run.is_durable:
            result.cancel()
    with contextlib.suppress(PhotogramError, asyncio.CancelledError):
        await result
