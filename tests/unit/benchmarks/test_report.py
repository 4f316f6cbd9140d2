from pathlib import Path

import msgspec
import pytest

from benchmarks import machine, report
from benchmarks.points import CellResult, Metric, Point
from benchmarks.scale import QUICK

CELL = CellResult(
    name="cell",
    title="A cell",
    metrics=(Metric(key="s", title="seconds", digits=2),),
    points=(
        Point(
            engine="photogram",
            condition="here",
            round=0,
            others_cores=0.0,
            values={"s": 1.5},
            raw={"latency_s": [1.0, 2.0]},
        ),
    ),
    remarks=("It was windy.",),
)


def a_report(*cells: CellResult) -> report.Report:
    return report.Report(
        machine=machine.describe(), scale=QUICK, model="tiny", took_s=90.0, cells=cells
    )


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    run = a_report(CELL)
    report.write(run, tmp_path)
    assert report.read(tmp_path) == run


def test_a_folder_without_a_run_holds_none(tmp_path: Path) -> None:
    assert report.read(tmp_path) is None


def test_a_later_run_completes_an_earlier_one_of_the_same_code() -> None:
    other = msgspec.structs.replace(CELL, name="other")
    again = msgspec.structs.replace(CELL, remarks=())
    both = report.completed(a_report(CELL, other), a_report(again))
    assert both.cells == (other, again)
    assert both.took_s == 180.0


def test_runs_of_different_code_are_not_mixed() -> None:
    run = a_report(CELL)
    older = msgspec.structs.replace(run.machine, commit="another")
    with pytest.raises(ValueError, match="other code"):
        report.completed(msgspec.structs.replace(run, machine=older), run)


def test_the_page_names_the_machine_the_plots_and_every_remark(tmp_path: Path) -> None:
    report.write(a_report(CELL), tmp_path, [tmp_path / "curve.svg"])
    page = (tmp_path / "results.md").read_text()
    assert "torch 2." in page
    assert "![curve.svg](curve.svg)" in page
    assert "| here | photogram | 1.50 | 1 |" in page
    assert "- It was windy." in page


def test_publishing_replaces_what_was_published(tmp_path: Path) -> None:
    run, published = tmp_path / "run", tmp_path / "published"
    run.mkdir()
    published.mkdir()
    (published / "old.svg").touch()
    report.write(a_report(CELL), run)
    report.publish(run, published)
    assert sorted(path.name for path in published.iterdir()) == ["result.json", "results.md"]
