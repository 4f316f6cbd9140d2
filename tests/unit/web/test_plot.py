from datetime import date

import pytest

from photogram.web.plot import HEIGHT, WIDTH, plot_days

FIRST, LAST = date(2026, 10, 25), date(2026, 11, 23)


def test_every_day_has_a_bar_as_high_as_its_amount() -> None:
    plot = plot_days(FIRST, LAST, {FIRST: 1.0, LAST: 4.0}, "credits")
    assert len(plot.bars) == 30
    first, *between, last = plot.bars
    assert last.height == pytest.approx(4 * first.height, abs=0.05)
    assert {bar.height for bar in between} == {0}
    assert (first.label, between[0].label) == ("2026-10-25: 1 credits", "2026-10-26: 0 credits")
    for bar in plot.bars:
        assert plot.left <= bar.x < bar.x + bar.width <= WIDTH
        assert bar.y + bar.height == pytest.approx(first.y + first.height, abs=0.05)
    assert 2 <= len(plot.days) <= 8


@pytest.mark.parametrize(
    ("most", "labels"),
    [
        (0.0, ["0", "0.25", "0.5", "0.75", "1"]),
        (0.138, ["0", "0.05", "0.1", "0.15", "0.2"]),
        (4.0, ["0", "1", "2", "3", "4"]),
        (4.1, ["0", "2", "4", "6", "8"]),
        (12345.0, ["0", "5000", "10000", "15000", "20000"]),
    ],
)
def test_the_lines_are_round_and_reach_above_the_highest_bar(
    most: float, labels: list[str]
) -> None:
    plot = plot_days(LAST, LAST, {LAST: most}, "credits")
    assert [line.label for line in plot.lines] == labels
    assert plot.lines[-1].at <= plot.bars[0].y <= plot.lines[0].at < HEIGHT


def test_a_year_fits() -> None:
    plot = plot_days(date(2025, 11, 23), LAST, {}, "credits")
    assert len(plot.bars) == 366
    assert len(plot.days) <= 8
