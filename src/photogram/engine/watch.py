"""Whether the step loop gets on with its work: told by the loop, asked by another thread.

In: how long a piece of work was predicted to take, how long it took, and the asker's beats. Out:
whether it takes so much longer that the loop must be stuck in it. A long step of a large model is
not stuck: its prediction is long. It counts beats and reads no clock: while a machine or a process
stands still, its clock may go on, and its work does not.
"""

import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

LEAST_S = 20.0
"""No work is stuck before: the machine may do something else for a moment."""

SLOWNESS = 10.0
"""Work is stuck after so many times what all but one in a hundred pieces take."""

FIRST_TIME_S = 180.0
"""What is compiled, or read from a slow disk, before it can begin may take so much longer."""

_NUM_REMEMBERED = 200
_QUANTILE = 0.99


@dataclass(slots=True)
class _Piece:
    """Work that is being done, and the seconds that it may still take."""

    left_s: float


class Watch:
    """The loop's work, if it has any.

    Args:
        least_s: No work is stuck before.
    """

    def __init__(self, least_s: float = LEAST_S) -> None:
        self._least_s = least_s
        self._piece: _Piece | None = None
        self._ratios: deque[float] = deque(maxlen=_NUM_REMEMBERED)

    @contextlib.contextmanager
    def over(self, predicted_s: float, *, is_new: bool = False) -> Iterator[None]:
        """Work that is predicted to take so long, apart from what it may need for the first time."""
        slowest_s = predicted_s * self._slowest_ratio()
        limit_s = max(self._least_s, SLOWNESS * slowest_s)
        self._piece = _Piece(limit_s + (FIRST_TIME_S if is_new else 0.0))
        try:
            yield
        finally:
            self._piece = None

    def learn(self, predicted_s: float, seconds: float) -> None:
        """Work that was predicted to take so long has taken so long."""
        self._ratios.append(seconds / predicted_s)

    def is_stuck_after(self, passed_s: float) -> bool:
        """Count a beat of so many seconds: should the work under way have been over long ago?"""
        piece = self._piece  # read once: the loop may end its work at any moment
        if piece is None:
            return False
        piece.left_s -= passed_s
        return piece.left_s < 0

    def _slowest_ratio(self) -> float:
        """How many times its prediction all but one in a hundred pieces take at most."""
        if not self._ratios:
            return 1.0
        return max(1.0, sorted(self._ratios)[int(_QUANTILE * (len(self._ratios) - 1))])
