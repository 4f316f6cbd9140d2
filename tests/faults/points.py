"""Places in a job's life where a process ends itself: the ports of the generation, with a knife.

Nothing of the product knows of them. A point is named after what happens there: `admit.before`,
`admit.inside` (all is written, nothing committed) and `admit.after` of each transaction; `submit`,
`started`, `progress` and `finished` of the engine; `write.before`, `write.draft` (half of the first
file), `write.renamed` (the folder is not synchronised) and `write.after` of the results.
"""

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from photogram.core.messages import GenerateJob, JobEvent
from photogram.core.ports import Permit
from photogram.engine.fake import FakeEngine
from photogram.storage.blobs import BlobFolder
from photogram.storage.database import Database

LIFE = (
    *("admit.before", "admit.inside", "admit.after", "submit", "started"),
    *("start.before", "start.inside", "start.after", "progress", "finished"),
    *("write.before", "write.draft", "write.renamed", "write.after"),
    *("succeed.before", "succeed.inside", "succeed.after"),
)
"""The points of a job that succeeds, in their order."""

RECOVERY = ("take_over.inside", "take_over.after")
"""Those of a server that takes over another one's jobs."""


class Killer:
    """Ends this process, as a lost machine would, at the n-th visit of one point; or stops it."""

    def __init__(self, point: str, visits: int, *, stops: bool) -> None:
        self._point = point
        self._left = visits
        self._signal = signal.SIGSTOP if stops else signal.SIGKILL

    def at(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), self._signal)


class KillingDatabase(Database):
    """Another database, whose transactions have points."""

    def __init__(self, database: Database, killer: Killer) -> None:
        self._database = database
        self._killer = killer

    async def run(self, fn: Callable[..., Any], *args: Any, readonly: bool = False) -> Any:
        name = fn.__name__

        def inside(connection: Connection, *values: Any) -> Any:
            result = fn(connection, *values)
            self._killer.at(f"{name}.inside")
            return result

        self._killer.at(f"{name}.before")
        result = await self._database.run(inside, *args, readonly=readonly)
        # A server that finds nothing to take over is not in the middle of anything.
        if name != "take_over" or result:
            self._killer.at(f"{name}.after")
        return result

    def __getattribute__(self, name: str) -> Any:
        if name in ("run", "_database", "_killer"):
            return super().__getattribute__(name)
        return getattr(super().__getattribute__("_database"), name)


class KillingFolder(BlobFolder):
    """A folder of results, whose writes have points."""

    def __init__(self, path: Path, killer: Killer) -> None:
        super().__init__(path)
        self._killer = killer

    def write(self, blobs: Mapping[str, bytes]) -> None:
        self._killer.at("write.before")
        super().write(blobs)
        self._killer.at("write.after")

    def _write_draft(self, name: str, content: bytes) -> None:
        if self._killer._point == "write.draft":
            self._draft(name).write_bytes(content[: len(content) // 2])
            self._killer.at("write.draft")
            self._draft(name).unlink()
        super()._write_draft(name, content)

    def _put_in_place(self, names: Iterable[str]) -> None:
        super()._put_in_place(names)
        self._killer.at("write.renamed")


class KillingEngine(FakeEngine):
    """The fake engine, whose events have points."""

    def __init__(self, killer: Killer, step_s: float) -> None:
        super().__init__(step_s=step_s)
        self._killer = killer

    def submit(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        self._killer.at("submit")
        return super().submit(job, permit)

    async def _run(self, job: GenerateJob, permit: Permit) -> AsyncIterator[JobEvent]:
        async for event in super()._run(job, permit):
            self._killer.at(type(event).__name__.lower())
            yield event
