"""The exactness that comes before any time.

Photogram in float32 is diffusers in float32 up to rounding; in bfloat16 it is no further from there
than diffusers in bfloat16 is. Names and errors in, words out; pure.
"""

from collections.abc import Mapping

from benchmarks.points import OURS

OURS_FLOAT32 = f"{OURS} float32"
PEER = "diffusers bfloat16"
REFERENCE = "diffusers float32"
FLOAT32_LIMIT = 1e-4


def problem(errors: Mapping[str, float]) -> str | None:
    """Why Photogram may not be timed; None if it may.

    Args:
        errors: Engine -> relative error against `REFERENCE`.
    """
    if not errors[OURS_FLOAT32] <= FLOAT32_LIMIT:
        return f"not timed: {OURS_FLOAT32} is further than {FLOAT32_LIMIT:g} from {REFERENCE}"
    if not errors[OURS] <= errors[PEER]:
        return f"not timed: {OURS} is further from {REFERENCE} than {PEER}"
    return None


def told(condition: str, errors: Mapping[str, float]) -> str:
    """The errors as a remark."""
    words = [f"{name} {error:.1e}" for name, error in errors.items() if name != REFERENCE]
    return f"{condition}: relative error against {REFERENCE}: {', '.join(words)}"
