"""Jobs as they are read back: what became of them, and where their pictures are. Plain data."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from photogram.core.messages import Finished
from photogram.generation.orders import Order
from photogram.generation.states import JobState


class RunFigures(msgspec.Struct, frozen=True):
    """What is told of a run beside its pictures.

    Attributes:
        total_time_s: From the request's admission to its finished files.
        cost_micro: Micro-credits that were settled.
        remaining_micro: What the account could spend right after that.
    """

    prompt_tokens: int
    prompt_truncated: bool
    num_steps: int
    queue_time_s: float
    generation_time_s: float
    total_time_s: float
    cost_micro: int = 0
    remaining_micro: int = 0

    @classmethod
    def of(
        cls,
        finished: Finished,
        total_time_s: float,
        cost_micro: int = 0,
        remaining_micro: int = 0,
    ) -> "RunFigures":
        """Of what the engine has made; the amounts are known once it is settled."""
        return cls(
            prompt_tokens=finished.prompt_tokens,
            prompt_truncated=finished.prompt_truncated,
            num_steps=finished.num_steps,
            queue_time_s=finished.queue_time_s,
            generation_time_s=finished.generation_time_s,
            total_time_s=total_time_s,
            cost_micro=cost_micro,
            remaining_micro=remaining_micro,
        )

    def encode(self, cost_micro: int, remaining_micro: int) -> str:
        """As JSON, with what it has cost."""
        settled = msgspec.structs.replace(
            self, cost_micro=cost_micro, remaining_micro=remaining_micro
        )
        return msgspec.json.encode(settled).decode()

    @classmethod
    def decode(cls, text: str) -> "RunFigures":
        """From `encode`."""
        return msgspec.json.decode(text, type=cls)


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A finished picture as a file.

    Attributes:
        number: 0 for the first of its job.
        file_name: Whoever knows it may have the file.
        sha256: Of the file, in hex.
        expires_at: The file is removed some time after it.
    """

    number: int
    file_name: str
    seed: int
    width: int
    height: int
    content_type: str
    size_bytes: int
    sha256: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What is known of a job.

    Attributes:
        request_id: The client's own name for it, or its id.
        model: The slug of what paints it.
        order: What was asked for; None once that was forgotten.
        held_micro: What is held, or was, for it.
        images: Its pictures, also those whose files were removed.
        figures: Of a job that has succeeded.
    """

    id: str
    request_id: str
    account_id: str
    key_id: str
    model: str
    state: JobState
    order: Order | None
    held_micro: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error_code: str | None
    error_message: str | None
    figures: RunFigures | None
    images: tuple[StoredImage, ...]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that can be fetched: a job's picture, or what an account has uploaded.

    Attributes:
        sha256: Of its content, in hex.
    """

    file_name: str
    content_type: str
    size_bytes: int
    sha256: str
    expires_at: datetime


class JobFilter(NamedTuple):
    """Which of an account's jobs are listed, and in which order.

    Attributes:
        model: A part of the slug, in capitals or not.
        or_models: Other slugs whose jobs are listed too; without `model`, they mean nothing.
        states: Any of these; empty: all.
        key_id: The key that they were made with.
        text: A part of the prompt, in capitals or not; what was forgotten is not found.
        since: Made then or later.
        until: Made before.
        sort_by: When it was made, its model, or what was taken for it; of equals, when.
        is_ascending: Oldest, alphabetically first, or cheapest first.
    """

    model: str | None = None
    or_models: tuple[str, ...] = ()
    states: tuple[JobState, ...] = ()
    key_id: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    sort_by: Literal["made", "model", "cost"] = "made"
    is_ascending: bool = False


@dataclass(frozen=True, slots=True)
class Queued:
    """The open jobs of an account, on all servers of the database.

    Attributes:
        since: When the oldest of them was made.
    """

    account_name: str
    num_queued: int
    num_running: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that has failed, whoever's it is, for who runs the server."""

    job_id: str
    account_name: str
    created_at: datetime
    attempt: int
    error_code: str
    error_message: str


@dataclass(frozen=True, slots=True)
class JobPage:
    """A part of a list, and how long the whole list is."""

    jobs: tuple[JobRecord, ...]
    num_in_all: int
