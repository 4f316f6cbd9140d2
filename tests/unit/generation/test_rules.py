from decimal import Decimal

import pytest

from photogram.accounts.models import Principal
from photogram.core.messages import EncodedImage, Finished
from photogram.generation.orders import KeptOrder, SourceNames, SourcePictures, Terms
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


@pytest.mark.parametrize(("strength", "num_steps_run"), [(None, 4), (1.0, 4), (0.5, 2), (0.0, 0)])
def test_only_steps_that_run_are_paid_for(strength: float | None, num_steps_run: int) -> None:
    pictures = None if strength is None else SourcePictures(b"image", b"mask")
    ordered = order(strength=strength, source=pictures)
    rules = _rules(PRICES)
    cost_micro = 1_000 + 100 * num_steps_run
    assert rules.price_micro(ordered) == cost_micro
    made = _finished(1, num_steps_run)
    assert rules.price_of_made_micro(ordered, cost_micro, made) == cost_micro
    job = rules.engine_job("job", "ann", ordered, 1)
    assert (job.num_steps, job.num_steps_run) == (4, num_steps_run)
    if job.source is not None:
        assert (job.source.image, job.source.mask) == (b"image", b"mask")


def test_a_row_names_the_files_of_a_source_and_holds_none_of_them() -> None:
    ordered = order(strength=0.5, source=SourcePictures(b"x" * 10_000))
    names = SourceNames("a" * 32 + ".png")
    terms = Terms(is_async=True)
    principal = Principal("ann", "key", frozenset())
    row = _rules(PRICES).new_job("job", principal, ordered, terms, "server", names)
    assert row.source == names
    assert row.num_steps == 2
    assert row.request is not None
    assert len(row.request) < 1_000
    kept = KeptOrder.decode(row.request)
    assert (kept.order, kept.source) == (order(strength=0.5), names)


def test_a_share_is_rounded_half_up() -> None:
    """Three micro-credits, of which half was made: 1.5."""
    assert _rules(PRICES).price_of_made_micro(order(num_images=2), 3, _finished(1, 4)) == 2


def test_a_part_at_no_price_costs_nothing() -> None:
    assert _rules(FREE).price_of_made_micro(order(num_images=4), HELD_MICRO, _finished(1, 4)) == 0
