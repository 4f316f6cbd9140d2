from decimal import Decimal

import pytest

from photogram.generation.orders import KeptOrder, Terms
from tests.unit.generation.ordering import keyed, order


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prompt": 'a "fox" \n \U0001f98a ض'},
        {"seed": 2**53 - 1, "num_images": 4, "guidance": 0.0},
        {"pixel_factor": Decimal("0.25"), "timeout_s": 1.5, "num_previews": 3},
    ],
)
def test_an_order_is_the_same_after_it_was_kept(changes: dict[str, object]) -> None:
    kept = KeptOrder(order(**changes), "https://example.org/files/")
    assert KeptOrder.decode(kept.encode()) == kept


def test_nobody_has_to_stay_for_a_job_that_he_can_name_or_need_not_wait_for() -> None:
    assert not Terms().is_durable
    assert Terms(is_async=True).is_durable
    assert keyed().is_durable
