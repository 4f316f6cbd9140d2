from datetime import timedelta

import pytest

from photogram.core import clock
from photogram.core.ids import first_id, is_sane, made_at, new_id


def test_ids_are_unique_sane_and_sorted_by_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(is_sane(value) and len(value) == 26 for value in ids)
    assert [value[:10] for value in ids] == sorted(value[:10] for value in ids)


def test_an_id_says_when_it_was_made() -> None:
    assert made_at("01ARZ3NDEKTSV4RRFFQ69G5FAV") == 1_469_922_850
    before = int(clock.now().timestamp())
    assert before <= made_at(new_id()) <= clock.now().timestamp()


@pytest.mark.parametrize("value", ["", "a b", "a\nb", "é", "x" * 129, "a;b", '"'])
def test_insane_identifiers_are_not_echoed(value: str) -> None:
    assert not is_sane(value)


def test_the_first_id_of_an_instant_comes_before_all_that_are_made_then() -> None:
    before = clock.now()
    assert first_id(before) <= new_id()
    assert first_id(before + timedelta(hours=1)) > new_id()
