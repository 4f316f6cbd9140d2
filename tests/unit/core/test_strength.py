from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photogram.core.strength import first_step


@pytest.mark.parametrize(
    ("strength", "num_steps", "left_out"),
    [
        (0.8, 25, 5),  # in floats (1 - 0.8) * 25 is below 5
        (0.9, 10, 1),
        (0.7, 50, 15),
        (0.5, 25, 12),
        (1, 25, 0),
        (0, 25, 25),
        (1e-7, 50, 49),
        (0.999999, 1, 0),
    ],
)
def test_strengths_leave_out_the_steps_that_their_digits_say(
    strength: float, num_steps: int, left_out: int
) -> None:
    assert first_step(strength, num_steps) == left_out
    assert first_step(Decimal(str(strength)), num_steps) == left_out


@given(hundredths=st.integers(0, 100), num_steps=st.integers(1, 50))
def test_every_hundredth_is_exact(hundredths: int, num_steps: int) -> None:
    exact = Fraction(100 - hundredths, 100) * num_steps
    assert first_step(hundredths / 100, num_steps) == int(exact)
