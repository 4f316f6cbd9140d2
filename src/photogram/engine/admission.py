"""The engine's bounded queue: a permit is taken before any work or any write.

Knows how many jobs there are, and nothing of what they are.
"""

from collections.abc import Callable

from photogram.core.errors import EngineOverloadedError
from photogram.core.messages import DRAINING

NOT_READY = "not_ready"
"""The code of a refusal because the worker is silent."""

_RETRY_DRAINING_S = 5.0
_RETRY_LOADING_S = 5.0


class Admission:
    """Counts permits against a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.num_held = 0
        self.is_draining = False

    def acquire(
        self, *, is_ready: bool, seconds_to_place: Callable[[], float], is_silent: bool = False
    ) -> "Place":
        """Take a place.

        Args:
            is_ready: Whether there is somebody to do the work.
            is_silent: Whether there is, and does not answer.
            seconds_to_place: Foretells when a place becomes free; asked if none is.

        Raises:
            EngineOverloadedError: There is none now.
        """
        if self.is_draining:
            raise EngineOverloadedError(
                "the server is shutting down", code=DRAINING, retry_after_s=_RETRY_DRAINING_S
            )
        if is_silent:
            raise EngineOverloadedError(
                "the model's process does not answer; if it stays silent, it is replaced",
                code=NOT_READY,
                retry_after_s=_RETRY_LOADING_S,
            )
        if not is_ready:
            raise EngineOverloadedError(
                "the model is loading", code="model_loading", retry_after_s=_RETRY_LOADING_S
            )
        if self.num_held >= self.limit:
            raise EngineOverloadedError(
                f"the queue is full: {self.num_held} of {self.limit} jobs",
                retry_after_s=seconds_to_place(),
            )
        self.num_held += 1
        return Place(self)


class Place:
    """One permit; released once, however often it is asked to."""

    def __init__(self, admission: Admission) -> None:
        self._admission: Admission | None = admission

    def release(self) -> None:
        if self._admission is not None:
            self._admission.num_held -= 1
            self._admission = None
