from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photogram.core.errors import InvalidRequestError
from photogram.ledger.pricing import PriceTable, format_credits, parse_credits, price_micro

TABLE = PriceTable(Decimal("0.0016"), Decimal("0.00072"), Decimal("0.002"))


@pytest.mark.parametrize(
    ("order", "micro"),
    [
        ({}, 19_737),
        ({"num_images": 4}, 78_949),  # 78948.8: rounded once, not four times 19737
        ({"num_steps": 1, "guidance": 0.0}, 2_320),
        ({"num_steps": 50, "guidance": 10.0}, 38_352),
        ({"pixel_factor": Decimal("0.25")}, 4_934),
        ({"guidance": 0.1}, 19_604),
    ],
)
def test_the_price_follows_the_formula(order: dict[str, object], micro: int) -> None:
    defaults = {
        "num_images": 1,
        "num_steps": 25,
        "guidance": 3.5,
        "pixel_factor": Decimal(1),
    }
    assert price_micro(TABLE, **(defaults | order)) == micro  # type: ignore[arg-type]


def test_half_a_micro_credit_is_rounded_up() -> None:
    half = PriceTable(Decimal("0.0000005"), Decimal(0), Decimal(0))
    one = {"num_images": 1, "num_steps": 1, "guidance": 0.0, "pixel_factor": Decimal(1)}
    assert price_micro(half, **one) == 1  # type: ignore[arg-type]
    less = PriceTable(Decimal("0.0000004" + "9" * 60), Decimal(0), Decimal(0))
    assert price_micro(less, **one) == 0  # type: ignore[arg-type]


rates = st.decimals(0, 1000, allow_nan=False, places=9)


@given(
    per_image=rates,
    per_step=rates,
    rate=st.decimals(0, 1, places=6),
    num_images=st.integers(1, 4),
    num_steps=st.integers(1, 50),
    guidance=st.floats(0, 10),
    pixel_factor=st.decimals(0, 4, places=4),
)
def test_the_price_is_exact(
    per_image: Decimal,
    per_step: Decimal,
    rate: Decimal,
    num_images: int,
    num_steps: int,
    guidance: float,
    pixel_factor: Decimal,
) -> None:
    exact = (
        num_images
        * Fraction(pixel_factor)
        * (Fraction(per_image) + Fraction(per_step) * num_steps)
        * (1 + Fraction(rate) * Fraction(repr(guidance)))
        * 1_000_000
    )
    micro = price_micro(
        PriceTable(per_image, per_step, rate),
        num_images=num_images,
        num_steps=num_steps,
        guidance=guidance,
        pixel_factor=pixel_factor,
    )
    assert micro == (exact + Fraction(1, 2)) // 1


def test_the_version_names_the_rates() -> None:
    assert TABLE.version == "image 0.0016, step 0.00072, guidance 0.002"
    assert PriceTable(Decimal("1E-7"), Decimal(0), Decimal(0)).version.startswith("image 0.0000001")


@pytest.mark.parametrize(
    ("micro", "words"),
    [
        (0, "0"),
        (1, "0.000001"),
        (19_737, "0.019737"),
        (100_000, "0.1"),
        (1_000_000, "1"),
        (100_000_000, "100"),
        (10**15, "1000000000"),
        (10**15 - 1, "999999999.999999"),
    ],
)
def test_credits_are_written_plainly_and_read_back(micro: int, words: str) -> None:
    assert format_credits(micro) == words
    assert parse_credits(words) == micro


@given(st.integers(0, 10**15))
def test_any_amount_is_read_back(micro: int) -> None:
    assert parse_credits(format_credits(micro)) == micro


@pytest.mark.parametrize(
    "words",
    [
        "",
        " 1",
        "1 ",
        "-1",
        "+1",
        "1e3",
        "NaN",
        "inf",
        "0.0000001",
        "1000000000.1",
        "9" * 100,
        ".5",
        "1.",
        "1,5",
        "٣",
        "1_0",
        "0x1",
        "1\n",
    ],
)
def test_what_is_no_amount_is_refused(words: str) -> None:
    with pytest.raises(InvalidRequestError, match="no amount of credits"):
        parse_credits(words)
