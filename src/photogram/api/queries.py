"""The parameters behind a ``?``, read strictly.

They come in as text; plain values go out, or one error that names every one that is wrong. Knows
nothing of what they are for.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from photogram.core.errors import ErrorDetail, InvalidRequestError

_MAX_CHARACTERS = 200
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class Query:
    """The parameters of one request; an empty one is a missing one.

    Args:
        given: By name.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self._problems: list[ErrorDetail] = []

    def text(self, name: str) -> str | None:
        """Any printable text."""
        value = self._given.get(name, "").strip()
        if len(value) <= _MAX_CHARACTERS and value.isprintable():
            return value or None
        self.refuse(name, f"must be printable text of at most {_MAX_CHARACTERS} characters")
        return None

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        value = self._given.get(name, "").strip()
        if not value:
            return default
        if (
            value.isascii()
            and value.isdecimal()
            and len(value) < 10
            and least <= int(value) <= most
        ):
            return int(value)
        self.refuse(name, f"must be a whole number from {least} to {most}")
        return default

    def choice(self, name: str, choices: Sequence[str]) -> str | None:
        """One of some words."""
        value = self._given.get(name, "").strip()
        if not value or value in choices:
            return value or None
        self.refuse(name, f"must be one of {', '.join(choices)}", choices)
        return None

    def date(self, name: str) -> datetime | None:
        """The beginning of a day in UTC."""
        value = self._given.get(name, "").strip()
        if not value:
            return None
        try:
            if _DATE.fullmatch(value) is None:
                raise ValueError
            day = datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            self.refuse(name, "must be a date, YYYY-MM-DD")
            return None
        if not 1970 <= day.year <= 9000:
            self.refuse(name, "must be a date from 1970 on")
            return None
        return day

    def refuse(self, name: str, reason: str, allowed: Sequence[str] = ()) -> None:
        """Something is wrong with this one."""
        message = f"{name} {reason}"
        self._problems.append(ErrorDetail(name, message, allowed=tuple(allowed) or None))

    def check(self) -> None:
        """Let a query pass that has nothing wrong.

        Raises:
            InvalidRequestError: With one detail for each parameter that is wrong.
        """
        if self._problems:
            message = "; ".join(each.message for each in self._problems)
            raise InvalidRequestError(message, details=self._problems)
