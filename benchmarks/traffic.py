"""The requests that servers are measured with, and when they arrive; all drawn before any is sent.

A seed in, the same requests out, for every server. Pure.
"""

import random
from typing import Literal

import msgspec

Mix = Literal["uniform", "skewed"]

SHAPES = (("1:1", "1"), ("16:9", "1"), ("3:4", "1"), ("1:1", "0.25"))
"""Aspect ratio and megapixels of the sizes that are mixed."""

MAX_STEPS = 50
MIN_STEPS = 4
_SHARE_OF_SHORT = 0.8
_SHORT_STEPS = (MIN_STEPS, 8)
_HOT_PROMPTS = 4
_THINGS = ("cat", "dog", "apple", "house", "tree", "car", "star", "fish")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One picture."""

    prompt: str
    aspect_ratio: str = "1:1"
    megapixels: str = "1"
    steps: int = 25
    guidance: float = 3.5
    seed: int = 1


def requests(mix: Mix, count: int, seed: int, share_repeated: float = 0.0) -> list[Request]:
    """Requests of mixed sizes, steps and guidance.

    Args:
        mix: ``uniform``: 4 to 50 steps and all sizes alike. ``skewed``: four in five are short (4 to
            8 steps, quarter size), the others long (50 steps, native size).
        count: How many.
        seed: Same seed, same requests; no prompt of it is one of another seed.
        share_repeated: Share of requests whose prompt is one of a few.
    """
    rng = random.Random(f"{mix} {seed}")  # noqa: S311 a schedule to repeat, not a secret
    return [_draw(rng, mix, f"{seed}-{index}", share_repeated) for index in range(count)]


def _draw(rng: random.Random, mix: Mix, name: str, share_repeated: float) -> Request:
    is_short = rng.random() < _SHARE_OF_SHORT
    if mix == "uniform":
        steps, shape = rng.randint(MIN_STEPS, MAX_STEPS), rng.choice(SHAPES)
    elif is_short:
        steps, shape = rng.randint(*_SHORT_STEPS), SHAPES[-1]
    else:
        steps, shape = MAX_STEPS, SHAPES[0]
    prompt = f"a {rng.choice(_THINGS)}, number {name}"
    if rng.random() < share_repeated:
        prompt = f"a {_THINGS[rng.randrange(_HOT_PROMPTS)]}"
    aspect_ratio, megapixels = shape
    return Request(
        prompt=prompt,
        aspect_ratio=aspect_ratio,
        megapixels=megapixels,
        steps=steps,
        guidance=round(rng.uniform(1.0, 6.0), 1),
        seed=rng.randrange(2**31),
    )


def arrivals(count: int, rate_per_s: float, seed: int) -> list[float]:
    """Seconds from the start at which requests of a Poisson process arrive, ascending.

    The gaps of a seed have the same shape at every rate, so that loads differ in nothing else.
    """
    rng = random.Random(seed)  # noqa: S311 a schedule to repeat, not a secret
    at_s, instants = 0.0, []
    for _ in range(count):
        at_s += rng.expovariate(1.0) / rate_per_s
        instants.append(at_s)
    return instants


def interpolate(steps: int, short_s: float, long_s: float) -> float:
    """The time alone of a request of `steps`, between those of the fewest and of the most."""
    share = (steps - MIN_STEPS) / (MAX_STEPS - MIN_STEPS)
    return short_s + share * (long_s - short_s)
