"""Which models are loaded, where there is no room for all: the next thing to do. Pure.

In: how every model stands, and how much room there is. Out: one move, or none. A model that is asked
for takes the room of the idle one that was used least recently. Where none is idle, the one that
was loaded first takes no new jobs any more, but only after it had `STAY` times as long as its loading
took: however the models are asked for, most of the time goes into pictures. It starts no process,
and knows no job.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

STAY: Final = 4.0
"""A busy model stays at least so many times as long as it took to load."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be loaded at once.

    Attributes:
        num_models: At most so many; None: any number.
        num_bytes: At most so much memory, as it is estimated; None: any amount.
    """

    num_models: int | None = None
    num_bytes: int | None = None

    def holds(self, sizes: Sequence[int]) -> bool:
        """Whether models of these bytes may be loaded at once."""
        return (self.num_models is None or len(sizes) <= self.num_models) and (
            self.num_bytes is None or sum(sizes) <= self.num_bytes
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """One model; instants are seconds of one clock.

    Attributes:
        size_bytes: Memory that it takes when it is loaded.
        wanted_since: When somebody began to wait for it; None: nobody does.
        can_load: It has not failed just now.
        is_loaded: It takes jobs, or finishes its last ones.
        is_idle: It has no jobs.
        used_at: When it last got a job.
        loaded_at: When it was loaded last.
        load_s: How long that took.
    """

    slug: str
    size_bytes: int
    wanted_since: float | None
    can_load: bool
    is_loaded: bool
    is_idle: bool
    used_at: float
    loaded_at: float
    load_s: float


@dataclass(frozen=True, slots=True)
class Move:
    """What is to be done with a model; one that leaves gets no new jobs, and finishes those it has."""

    kind: Literal["load", "unload", "leave"]
    slug: str


def next_move(standings: Sequence[Standing], room: Room, now: float) -> Move | None:
    """The next thing to do; where nothing is loaded or wanted, the first that can be is loaded.

    Args:
        standings: Every model, the default first.
        room: What may be loaded at once.
        now: Seconds of the clock of the standings.
    """
    loaded = [each for each in standings if each.is_loaded]
    loadable = [each for each in standings if not each.is_loaded and each.can_load]
    waited_for = [(each.wanted_since, each) for each in loadable if each.wanted_since is not None]
    if waited_for:
        _, wanted = min(waited_for, key=lambda pair: pair[0])
    elif loadable and not loaded:
        wanted = loadable[0]
    else:
        return None
    if room.holds([wanted.size_bytes, *(each.size_bytes for each in loaded)]):
        return Move("load", wanted.slug)
    idle = [each for each in loaded if each.is_idle]
    if idle:
        return Move("unload", min(idle, key=lambda each: each.used_at).slug)
    tired = [each for each in loaded if now >= each.loaded_at + STAY * each.load_s]
    if tired:
        return Move("leave", min(tired, key=lambda each: each.loaded_at).slug)
    return None
