"""What a request costs, and how credits are written. Pure: numbers in, numbers out.

Credits are decimal for people and integers of micro-credits everywhere else. The arithmetic is
exact; the one rounding is at the end of `price_micro`.
"""

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext

from photogram.core.errors import InvalidRequestError

MICRO_PER_CREDIT = 1_000_000
MAX_CREDITS = 1_000_000_000
"""The most that may be granted at once; sums then stay far below 64 bits."""

# More digits than any product of settings has, so that nothing but the end is rounded.
_PRECISION = 200
_CREDITS = re.compile(r"[0-9]{1,10}(\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class PriceTable:
    """The operator's rates, in credits.

    Attributes:
        per_image: For each picture, whatever its steps.
        per_step: For each denoising step of each picture.
        guidance_rate: Share of the price added per unit of guidance.
    """

    per_image: Decimal
    per_step: Decimal
    guidance_rate: Decimal

    @property
    def version(self) -> str:
        """The table in words: what a job keeps of the prices that it was admitted at."""
        return f"image {self.per_image:f}, step {self.per_step:f}, guidance {self.guidance_rate:f}"


def price_micro(
    table: PriceTable, *, num_images: int, num_steps: int, guidance: float, pixel_factor: Decimal
) -> int:
    """The price in micro-credits, rounded half up.

    ``num_images * pixel_factor * (per_image + per_step * num_steps) * (1 + guidance_rate *
    guidance)``. The guidance counts as the decimal that it prints as: 0.1 is one tenth.
    """
    with localcontext(prec=_PRECISION):
        price = (
            num_images
            * pixel_factor
            * (table.per_image + table.per_step * num_steps)
            * (1 + table.guidance_rate * Decimal(repr(guidance)))
        )
        return int((price * MICRO_PER_CREDIT).to_integral_value(ROUND_HALF_UP))


def format_credits(amount_micro: int) -> str:
    """Micro-credits as plain decimal credits: ``19737`` is ``"0.019737"``, 10**8 is ``"100"``."""
    whole, fraction = divmod(amount_micro, MICRO_PER_CREDIT)
    return f"{whole}.{fraction:06d}".rstrip("0").rstrip(".")


def parse_credits(words: str) -> int:
    """Plain decimal credits as micro-credits.

    Raises:
        InvalidRequestError: It is no plain decimal of at most 6 places, or is too large.
    """
    if _CREDITS.fullmatch(words) is None or Decimal(words) > MAX_CREDITS:
        raise InvalidRequestError(
            f"{words!r} is no amount of credits: a number from 0 to {MAX_CREDITS}"
            " with at most 6 decimals"
        )
    return int(Decimal(words) * MICRO_PER_CREDIT)
