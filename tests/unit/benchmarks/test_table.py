from benchmarks.points import CellResult, Metric, Point
from benchmarks.table import as_markdown, as_text, tabulate

RESULT = CellResult(
    name="cell",
    title="A cell",
    metrics=(
        Metric(key="s", title="seconds", digits=2, is_compared=True),
        Metric(key="mib", title="MiB", digits=0),
    ),
    points=tuple(
        Point(engine=engine, condition="here", round=index, others_cores=0.0, values=values)
        for engine, index, values in [
            ("peer", 0, {"s": 3.0}),
            ("photogram", 0, {"s": 1.5, "mib": 7.4}),
            ("peer", 1, {"s": 6.0}),
            ("photogram", 1, {"s": 1.5, "mib": 7.4}),
        ]
    ),
)


def test_a_table_shows_medians_ratios_and_gaps() -> None:
    table = tabulate(RESULT)
    assert table.head == (
        "condition",
        "engine",
        "seconds",
        "MiB",
        "times better: seconds",
        "rounds",
    )
    assert table.rows == (
        ("here", "photogram", "1.50", "7", "-", "2"),
        ("here", "peer", "4.50", "-", "3.00 (2.00 to 4.00)", "2"),
    )


def test_columns_of_the_text_line_up() -> None:
    title, empty, *lines = as_text(tabulate(RESULT)).split("\n")
    assert (title, empty) == ("A cell", "")
    assert {len(line) for line in lines} == {len(lines[0])}
    assert lines[1].startswith("here       photogram  ")


def test_markdown_has_a_heading_a_rule_and_all_rows() -> None:
    lines = as_markdown(tabulate(RESULT)).split("\n")
    assert lines[0] == "## A cell"
    assert lines[3] == "| --- | --- | ---: | ---: | ---: | ---: |"
    assert lines[4] == "| here | photogram | 1.50 | 7 | - | 2 |"
    assert len(lines) == 6


def test_without_a_peer_there_is_no_column_of_ratios() -> None:
    alone = CellResult(
        name="cell", title="A cell", metrics=RESULT.metrics, points=RESULT.points[1:2]
    )
    assert tabulate(alone).head == ("condition", "engine", "seconds", "MiB", "rounds")
