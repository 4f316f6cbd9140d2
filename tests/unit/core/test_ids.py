import pytest

from photogram.core.ids import is_sane, new_id


def test_ids_are_unique_sane_and_sorted_by_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(is_sane(value) and len(value) == 26 for value in ids)
    assert [value[:10] for value in ids] == sorted(value[:10] for value in ids)


@pytest.mark.parametrize("value", ["", "a b", "a\nb", "é", "x" * 129, "a;b", '"'])
def test_insane_identifiers_are_not_echoed(value: str) -> None:
    assert not is_sane(value)
