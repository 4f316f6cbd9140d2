"""Jobs as they are found again: what became of them, how far they are, and their pictures.

It reads and changes nothing; whatever an account asks for is looked for among its own jobs alone,
and models are called there what they are called in paths.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime

from photogram.core.errors import NotFoundError
from photogram.core.messages import Finished, JobEvent
from photogram.core.ports import Engine
from photogram.generation.catalogue import Catalogue
from photogram.generation.closing import Outcome
from photogram.generation.live import LiveJobs
from photogram.generation.records import Failure, JobFilter, JobPage, JobRecord, Queued
from photogram.generation.repository import records
from photogram.generation.results import Results
from photogram.storage.database import Database


@dataclass(frozen=True, slots=True)
class Advance:
    """How far a job is that has not ended.

    Attributes:
        progress: The share of its steps that are done, 0-1.
        queue_position: 1 for the job that starts next, 0 once it has started.
        start_s: Predicted seconds from now until the first work on it.
        finish_s: Predicted seconds from now until its pictures.
    """

    progress: float
    queue_position: int | None
    start_s: float | None
    finish_s: float | None


class Shelf:
    """All jobs of one database.

    Args:
        database: Where they are.
        engine: Asked for what it expects of those that it has.
        results: Where their pictures are.
        live: What is told of those that this server works on.
        catalogue: What models are called.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        results: Results,
        live: LiveJobs,
        catalogue: Catalogue,
    ) -> None:
        self._database = database
        self._engine = engine
        self._results = results
        self._live = live
        self._catalogue = catalogue

    async def get(self, job_id: str) -> JobRecord:
        """Any account's job, by its id.

        Raises:
            NotFoundError: There is no such job.
        """
        return await self._database.run(records.get, job_id, readonly=True)

    async def find(self, account_id: str, name: str) -> JobRecord:
        """An account's job by its id, or by the client's own name for it.

        Raises:
            NotFoundError: The account has no such job.
        """
        found = await self._database.run(records.find, account_id, name, readonly=True)
        return self._named(found)

    @property
    def is_closing(self) -> bool:
        """This server takes no more work: who waits for an open job that is not here waits in vain."""
        return self._engine.is_draining

    async def page(self, account_id: str, wanted: JobFilter, *, offset: int, limit: int) -> JobPage:
        """A part of an account's jobs."""
        if wanted.model:
            slugs = self._catalogue.slugs_called(wanted.model)
            wanted = wanted._replace(or_models=slugs)
        found = await self._database.browse(records.page, account_id, wanted, offset, limit)
        return replace(found, jobs=tuple(map(self._named, found.jobs)))

    async def queue(self, limit: int) -> list[Queued]:
        """The accounts that have open jobs, on all servers; who waits longest, first."""
        return await self._database.browse(records.queue, limit)

    async def failures(self, since: datetime, limit: int) -> list[Failure]:
        """The newest failed jobs of all accounts that were made since then, newest first."""
        return await self._database.browse(records.failures, since, limit)

    def advance(self, job_id: str) -> Advance:
        """How far a job is that was found open; nothing is known of one at another server."""
        live = self._live.find(job_id)
        forecast = self._engine.forecast(job_id)
        return Advance(
            progress=live.progress if live else 0.0,
            queue_position=forecast.queue_position if forecast else None,
            start_s=forecast.start_s if forecast else None,
            finish_s=forecast.finish_s if forecast else None,
        )

    def listen(self, job_id: str, after: int = 0) -> AsyncIterator[tuple[int, JobEvent]] | None:
        """The events of an open job after that many, each with its number; None if not here."""
        live = self._live.find(job_id)
        return live.listen(after) if live else None

    async def outcome(self, record: JobRecord) -> Outcome:
        """What a job that has succeeded has made, with the files' contents.

        Raises:
            NotFoundError: It has not succeeded, or its pictures have expired.
            StorageError: They cannot be read.
        """
        figures = record.figures
        if figures is None:
            raise NotFoundError(f"request {record.request_id!r} has no pictures")
        finished = Finished(
            job_id=record.id,
            images=await self._results.load(record.images),
            prompt_tokens=figures.prompt_tokens,
            prompt_truncated=figures.prompt_truncated,
            num_steps=figures.num_steps,
            queue_time_s=figures.queue_time_s,
            generation_time_s=figures.generation_time_s,
        )
        return Outcome(
            finished,
            figures.cost_micro,
            figures.remaining_micro,
            figures.total_time_s,
            record.images,
        )

    def _named(self, record: JobRecord) -> JobRecord:
        return replace(record, model=self._catalogue.public_name(record.model))
