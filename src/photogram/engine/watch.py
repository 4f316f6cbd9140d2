"""Whether the step loop gets on with its work: told by the loop, asked by another thread.

In: how long a piece of work was predicted to take, and the asker's beats. Out: whether it takes far
longer than that, so that the loop must be stuck in it. A long step of a large model is not stuck:
its prediction is long. It counts beats and reads no clock: while a machine or a process stands
still, its clock may go on, and its work does not.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

GRACE_S = 180.0
"""Work may take so much longer than predicted: on a GPU, the first step of a second size compiles,
and the machine may do something else meanwhile."""

SLOWNESS = 10.0
"""And, besides, so many times as long."""


@dataclass(slots=True)
class _Piece:
    """Work that is being done, and the seconds that it may still take."""

    left_s: float


class Watch:
    """The loop's work, if it has any."""

    def __init__(self) -> None:
        self._piece: _Piece | None = None

    @contextlib.contextmanager
    def over(self, predicted_s: float) -> Iterator[None]:
        """Work that is predicted to take so long."""
        self._piece = _Piece(GRACE_S + SLOWNESS * predicted_s)
        try:
            yield
        finally:
            self._piece = None

    def is_stuck_after(self, passed_s: float) -> bool:
        """Count a beat of so many seconds: should the work under way have been over long ago?"""
        piece = self._piece  # read once: the loop may end its work at any moment
        if piece is None:
            return False
        piece.left_s -= passed_s
        return piece.left_s < 0
