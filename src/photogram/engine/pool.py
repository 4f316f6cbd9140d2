"""Several models behind one queue: each with an engine of its own, loaded while it is asked for.

It implements `core.ports.Engines`. A job for a model that is not loaded waits here until it is; a
model that cannot be loaded fails the jobs that wait for it, and the others go on. What is loaded when
there is no room for all, `engine.rotation` says. It knows engines by their port alone.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from msgspec.structs import replace

from photogram.core.errors import ConfigurationError, ModelUnavailableError
from photogram.core.messages import (
    DEFAULT_MODEL,
    Forecast,
    GenerateJob,
    JobEvent,
    ModelInfo,
    Vitals,
)
from photogram.core.ports import ModelReport, Permit
from photogram.engine.rotation import Move, Room, next_move
from photogram.engine.slot import PooledModel, Slot, Wait

_POLL_S: Final = 0.05
_IDLE_POLL_S: Final = 1.0


class EnginePool:
    """The engines of one server.

    Args:
        models: The default one first.
        room: What may be loaded at once.
        queue_limit: Jobs of one model that may wait for it to be loaded.

    Raises:
        ConfigurationError: There is no room for one of them even alone.
    """

    def __init__(self, models: Sequence[PooledModel], room: Room, *, queue_limit: int) -> None:
        for model in models:
            if not room.holds([model.size_bytes]):
                raise ConfigurationError(
                    f"{model.info.slug} takes about {model.size_bytes / 2**30:.1f} GiB, which is "
                    "more than models may take together"
                )
        self._slots = {model.info.slug: Slot(model, queue_limit) for model in models}
        self._default = self._slots[models[0].info.slug]
        self._room = room
        self._news = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self.is_draining = False

    @property
    def model(self) -> ModelInfo:
        return self._default.info

    @property
    def is_ready(self) -> bool:
        """A model is loaded, or was and gives its room to another: jobs that come are painted."""
        slots = self._slots.values()
        engines = [slot.engine for slot in slots if slot.is_loaded]
        if engines:
            return any(engine is not None and engine.is_ready for engine in engines)
        return any(slot.was_loaded for slot in slots) and any(
            slot.state() != "failed" for slot in slots
        )

    @property
    def load_failure(self) -> str | None:
        """Why no model could be loaded, where none could."""
        failures = [slot.failure for slot in self._slots.values()]
        return "; ".join(filter(None, failures)) if all(failures) else None

    @property
    def num_jobs(self) -> int:
        return sum(slot.num_jobs for slot in self._slots.values())

    @property
    def vitals(self) -> Vitals | None:
        return self._default.report().vitals

    def report(self) -> tuple[ModelReport, ...]:
        return tuple(slot.report() for slot in self._slots.values())

    async def start(self) -> None:
        """Begin to load as many models as there is room for, the default one first."""
        sizes: list[int] = []
        for slot in self._slots.values():
            if self._room.holds([*sizes, slot.size_bytes]):
                sizes.append(slot.size_bytes)
                slot.is_needed = True
        self._keeper = asyncio.create_task(self._keep())

    def drain(self) -> None:
        self.is_draining = True
        for slot in self._slots.values():
            slot.drain()

    async def close(self) -> None:
        self.drain()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        engines = [slot.engine for slot in self._slots.values() if slot.engine is not None]
        await asyncio.gather(*(engine.close() for engine in engines))

    def acquire(self, job: GenerateJob) -> Permit:
        slot = self._slot(job)
        slot.used_at = time.monotonic()
        if (engine := slot.open_engine()) is not None:
            return engine.acquire(job)
        self._news.set()
        return slot.wait(job)

    def submit(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        slot = self._slot(job)
        job = replace(job, model=slot.info.slug)  # the files say what has painted them
        if isinstance(permit, Wait):
            return slot.submit(job, permit)
        if slot.engine is None:
            raise RuntimeError("a model was unloaded while a permit was held")
        return slot.engine.submit(job, permit)

    def cancel(self, job_id: str) -> None:
        for slot in self._slots.values():
            slot.cancel(job_id)

    def forecast(self, job_id: str) -> Forecast | None:
        known = (slot.forecast(job_id) for slot in self._slots.values())
        return next(filter(None, known), None)

    def _slot(self, job: GenerateJob) -> Slot:
        if job.model == DEFAULT_MODEL:
            return self._default
        if job.model not in self._slots:
            raise ModelUnavailableError(f"this server has no model {job.model}")
        return self._slots[job.model]

    async def _keep(self) -> None:
        """Load and unload until cancelled."""
        while True:
            self._news.clear()
            now = time.monotonic()
            move = next_move([slot.standing(now) for slot in self._slots.values()], self._room, now)
            for slug, slot in self._slots.items():
                slot.is_leaving = move in (Move("leave", slug), Move("unload", slug))
                slot.hand_over()
            match move:
                case Move("load", slug):
                    await self._slots[slug].load()
                case Move("unload", slug):
                    await self._slots[slug].unload()
                case _:
                    await self._await_news()

    async def _await_news(self) -> None:
        """Until somebody waits for a model; who waits already may have its room at any moment."""
        is_waited_for = any(slot.admission.num_held for slot in self._slots.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_S if is_waited_for else _IDLE_POLL_S):
                await self._news.wait()
