"""How much of a schedule a picture that begins from another one goes through.

In: the strength that was asked for, as written, and a number of steps. Out: how many of them are
left out. Both columns count by it, so that the price, the answer and the steps that run agree. It
knows no noise level and no picture.
"""

from decimal import Decimal
from fractions import Fraction
from math import floor


def first_step(strength: float | Decimal, num_steps: int) -> int:
    """Steps of the schedule that are left out: ``floor((1 - strength) * num_steps)``.

    The strength counts as the decimal number that it is written as; in floats, (1 - 0.8) * 25 is
    less than 5.

    Source: huggingface/diffusers pipelines/flux/pipeline_flux_img2img.py `get_timesteps`, which
    takes floats: `num_steps - num_steps * strength`, rounded down, leaves out a step fewer for some.

    Args:
        strength: 0 to 1; 1 leaves out nothing, 0 everything.
        num_steps: Of the whole schedule.

    Returns:
        0 to `num_steps`.
    """
    return floor((1 - Fraction(str(strength))) * num_steps)
