from benchmarks.figures import Spread
from benchmarks.points import CellResult, Metric, Point, summarise

METRICS = (
    Metric(key="s", title="seconds", digits=1, is_compared=True),
    Metric(key="per_s", title="a second", digits=1, is_rate=True, is_compared=True),
    Metric(key="other", title="other", digits=0),
)


def point(engine: str, round_index: int, others_cores: float = 0.0, **values: float) -> Point:
    return Point(
        engine=engine,
        condition="here",
        round=round_index,
        others_cores=others_cores,
        values=values,
    )


def result(*points: Point) -> CellResult:
    return CellResult(name="cell", title="A cell", metrics=METRICS, points=points)


def test_ratios_are_taken_within_a_round_and_say_how_much_better_photogram_is() -> None:
    ours, theirs = summarise(
        result(
            point("peer", 0, s=4.0, per_s=1.0),
            point("photogram", 0, s=2.0, per_s=3.0),
            point("photogram", 1, s=1.0, per_s=4.0),
            point("peer", 1, s=4.0, per_s=1.0),
        )
    )
    assert (ours.engine, ours.ratios) == ("photogram", {})
    assert theirs.values["s"] == Spread(4.0, 4.0, 4.0)
    assert theirs.ratios == {"s": Spread(3.0, 2.0, 4.0), "per_s": Spread(3.5, 3.0, 4.0)}


def test_a_round_in_which_one_engine_was_disturbed_counts_for_none() -> None:
    ours, theirs = summarise(
        result(
            point("photogram", 0, s=2.0),
            point("peer", 0, others_cores=0.9, s=50.0),
            point("photogram", 1, s=1.0),
            point("peer", 1, s=3.0),
        )
    )
    assert ours.num_rounds == theirs.num_rounds == 1
    assert theirs.ratios["s"].median == 3.0
    assert not theirs.is_noisy


def test_when_no_round_was_quiet_all_count_and_the_row_says_so() -> None:
    (ours,) = summarise(
        result(point("photogram", 0, 1.0, s=2.0), point("photogram", 1, 1.0, s=4.0))
    )
    assert ours.is_noisy
    assert ours.values["s"].median == 3.0


def test_an_engine_without_a_number_has_no_value_and_no_ratio() -> None:
    _, theirs = summarise(result(point("photogram", 0, s=2.0), point("peer", 0, other=1.0)))
    assert theirs.values.keys() == {"other"}
    assert theirs.ratios == {}
