from decimal import Decimal

import pytest

from photogram.core.messages import EncodedImage, Finished
from photogram.generation.rules import Rules
from photogram.ledger.pricing import PriceTable
from tests.unit.generation.catalogues import catalogue_of
from tests.unit.generation.ordering import PRICES, order

HELD_MICRO = 5_600
"""What four pictures of four steps cost at PRICES."""
FREE = PriceTable(Decimal(0), Decimal(0), Decimal(0))
DEARER = PriceTable(PRICES.per_image * 3, PRICES.per_step * 3, Decimal(0))


def _rules(prices: PriceTable) -> Rules:
    return Rules(
        catalogue=catalogue_of(prices=prices),
        job_timeout_s=1,
        async_timeout_s=1,
        jobs_per_account=1,
        with_prompt=False,
    )


def _finished(num_images: int, num_steps: int) -> Finished:
    picture = EncodedImage(seed=1, width=1, height=1, content_type="image/png", data=b"")
    return Finished(
        job_id="job",
        images=(picture,) * num_images,
        prompt_tokens=1,
        prompt_truncated=False,
        num_steps=num_steps,
        queue_time_s=0,
        generation_time_s=0,
    )


@pytest.mark.parametrize("prices", [PRICES, FREE, DEARER])
def test_a_job_keeps_the_price_that_it_was_admitted_at(prices: PriceTable) -> None:
    ordered = order(num_images=4)
    assert _rules(prices).price_of_made_micro(ordered, HELD_MICRO, _finished(4, 4)) == HELD_MICRO


@pytest.mark.parametrize(
    ("made", "cost_micro"), [((1, 4), 1_400), ((2, 2), 2_400), ((0, 4), 0), ((4, 9), HELD_MICRO)]
)
@pytest.mark.parametrize("prices", [PRICES, DEARER])
def test_a_part_costs_its_share_and_never_more_than_the_hold(
    prices: PriceTable, made: tuple[int, int], cost_micro: int
) -> None:
    ordered = order(num_images=4)
    assert _rules(prices).price_of_made_micro(ordered, HELD_MICRO, _finished(*made)) == cost_micro


def test_a_share_is_rounded_half_up() -> None:
    """Three micro-credits, of which half was made: 1.5."""
    assert _rules(PRICES).price_of_made_micro(order(num_images=2), 3, _finished(1, 4)) == 2


def test_a_part_at_no_price_costs_nothing() -> None:
    assert _rules(FREE).price_of_made_micro(order(num_images=4), HELD_MICRO, _finished(1, 4)) == 0
