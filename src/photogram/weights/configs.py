"""A checkpoint's JSON files, read with a type and a range for every value.

In: a path. Out: values, or a `CheckpointError` that names the file, the key and what was found.
It knows nothing of what the values are for.
"""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from photogram.core.errors import CheckpointError

_MAX_BYTES = 64 * 2**20
_MAX_INTEGER = 2**20


class Config:
    """One JSON object; each accessor checks the type and the range of one key."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path = path
        self._values = values

    @classmethod
    def read(cls, path: Path) -> "Config":
        """Read a JSON object from a file.

        Raises:
            CheckpointError: No such file, not readable, or not a JSON object.
        """
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise CheckpointError(f"{path} is larger than {_MAX_BYTES} bytes")
            values = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise CheckpointError(f"{path} is missing") from None
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError):
            raise CheckpointError(f"{path} is not valid JSON") from None
        if not isinstance(values, dict):
            raise CheckpointError(f"{path} must hold a JSON object")
        return cls(path, values)

    def __contains__(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self._values.get(key) is not None

    def is_set(self, key: str) -> bool:
        """Whether the key is there, and neither null nor false."""
        return self._values.get(key) not in (None, False)

    @property
    def values(self) -> dict[str, Any]:
        """The object itself, for a library that reads it."""
        return dict(self._values)

    @property
    def names(self) -> list[str]:
        """All keys of the object."""
        return list(self._values)

    def integer(
        self, key: str, default: int | None = None, *, low: int = 1, high: int = _MAX_INTEGER
    ) -> int:
        """A whole number within ``low`` and ``high``."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(key, f"a whole number from {low} to {high}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, "a number")
        try:
            number = float(value)
        except OverflowError:  # a whole number of more than 308 digits
            number = math.inf
        if not math.isfinite(number):
            raise self.wrong(key, "a finite number")
        return number

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "a string")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty where the key is not there."""
        value = self._get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "a list of strings")
        return tuple(value)

    def integers(self, key: str, default: Iterable[int] | None = None) -> tuple[int, ...]:
        """A list of positive whole numbers."""
        value = self._get(key, None if default is None else list(default))
        if not isinstance(value, list) or not all(_is_size(item) for item in value):
            raise self.wrong(key, f"a list of whole numbers from 1 to {_MAX_INTEGER}")
        return tuple(value)

    def table(self, key: str) -> "Config":
        """An object; empty where the key is not there."""
        value = self._get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return Config(self.path, value)

    def wrong(self, key: str, expected: str) -> CheckpointError:
        """The error of a value that is not what it must be."""
        found = json.dumps(self._values.get(key))
        found = found if len(found) <= 80 else found[:80] + "..."
        return CheckpointError(f"{self.path}: {key} is {found}, it must be {expected}")

    def _get(self, key: str, default: Any) -> Any:
        value = self._values.get(key)
        if value is None:
            if default is None:
                raise CheckpointError(f"{self.path}: {key} is missing")
            return default
        return value


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_INTEGER
