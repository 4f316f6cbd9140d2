"""Identifiers: unguessable, sortable by time of making, safe in headers, URLs and file names."""

import os
import re
import secrets
import time
from datetime import datetime

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
_SANE = re.compile(r"[A-Za-z0-9_-]{1,128}")


def new_id() -> str:
    """26 characters: 48 bits of milliseconds, then 80 random bits (the ULID layout)."""
    return _spell(time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10)))


def first_id(instant: datetime) -> str:
    """What no `new_id` from that instant on comes before."""
    return _spell(int(instant.timestamp() * 1000) << 80)


def made_at(identifier: str) -> int:
    """When `new_id` made it: whole Unix seconds."""
    milliseconds = 0
    for letter in identifier[:10]:
        milliseconds = milliseconds << 5 | _ALPHABET.index(letter)
    return milliseconds // 1000


def random_seed() -> int:
    """32 random bits, for a request that asks for any seed."""
    return secrets.randbits(32)


def is_sane(value: str) -> bool:
    """Whether a client's own identifier may be echoed in a header or a log line."""
    return _SANE.fullmatch(value) is not None


def _spell(number: int) -> str:
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
