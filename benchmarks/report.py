"""Writes a run down: one JSON file with every number, a page of tables, and plots.

A folder of a run holds `result.json`, `results.md` and SVG files; publishing copies it.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks import machine
from benchmarks.points import CellResult
from benchmarks.scale import Scale
from benchmarks.table import as_markdown, as_text, tabulate

_READING = """Numbers are medians over the rounds. "Times better" is a ratio within a round, above 1
where Photogram is better: median (smallest to largest). A round in which other programs used more than 0.2
cores does not count; if none was quieter, all count and the row says so. `result.json` beside this page
holds every round's numbers. [What each cell means](../benchmarks.md)."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the harness."""

    machine: machine.Machine
    scale: Scale
    model: str
    took_s: float
    cells: tuple[CellResult, ...]


def write(report: Report, folder: Path, plots: Sequence[Path] = ()) -> None:
    """Write a run's files into its folder.

    Args:
        report: The run.
        folder: An existing folder.
        plots: Files in it that the page shows.
    """
    (folder / "result.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    (folder / "results.md").write_text(page(report, [plot.name for plot in plots]))


def page(report: Report, plots: Sequence[str]) -> str:
    """The plots and tables as a Markdown page."""
    head = [
        "# Measured results",
        f"`python -m benchmarks`, scale {report.scale.name}, model {report.model}: "
        f"{report.took_s / 60:.0f} minutes. {machine.in_words(report.machine)}.",
        _READING,
        *(f"![{plot}]({plot})" for plot in plots),
    ]
    return "\n\n".join([*head, *(_section(cell) for cell in report.cells)]) + "\n"


def _section(cell: CellResult) -> str:
    remarks = [f"- {remark}" for remark in cell.remarks]
    return "\n\n".join(filter(None, [as_markdown(tabulate(cell)), "\n".join(remarks)]))


def as_terminal(cell: CellResult) -> str:
    """A cell's table and remarks for a terminal."""
    return "\n".join([as_text(tabulate(cell)), *(f"  {remark}" for remark in cell.remarks), ""])


def read(folder: Path) -> Report | None:
    """The run that was written to a folder, if one was."""
    if not (folder / "result.json").exists():
        return None
    return msgspec.json.decode((folder / "result.json").read_bytes(), type=Report)


def completed(earlier: Report, later: Report) -> Report:
    """Both runs as one; a cell that both measured is the later one's.

    Raises:
        ValueError: They did not measure the same code at the same scale.
    """
    if (earlier.machine.commit, earlier.scale, earlier.model) != (
        later.machine.commit,
        later.scale,
        later.model,
    ):
        raise ValueError("the folder holds a run of other code, scale or model")
    again = {cell.name for cell in later.cells}
    kept = tuple(cell for cell in earlier.cells if cell.name not in again)
    return msgspec.structs.replace(
        later, cells=kept + later.cells, took_s=earlier.took_s + later.took_s
    )


def publish(folder: Path, into: Path) -> None:
    """Copy a run's files over those that were published before."""
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(folder, into)
