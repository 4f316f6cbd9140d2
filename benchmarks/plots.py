"""Draws the curves of a run as SVG files: throughput and latency over clients and over load."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.points import CellResult, Summary, summarise

_CLOSED = "closed"
_OPEN = "open"
_COLOURS = ("#1f6f8b", "#c65d21")


def draw(cells: Sequence[CellResult], folder: Path) -> list[Path]:
    """Draw what there is of the two loops; returns the files."""
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text: small files, and searchable
    mpl.rcParams["svg.hashsalt"] = "photogram"  # the same numbers, the same file
    by_name = {cell.name: cell for cell in cells}
    figures: dict[str, Figure] = {}
    if closed := by_name.get(_CLOSED):
        figures["closed"] = _closed(summarise(closed))
    if opened := by_name.get(_OPEN):
        figures["open"] = _open(summarise(opened))
    paths = [folder / f"{name}.svg" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        figure.savefig(path, metadata={"Date": None})
    return paths


def _closed(rows: Sequence[Summary]) -> Figure:
    """Pictures a second, and p95, over the number of clients."""
    rows = [row for row in rows if row.condition.endswith("all-new prompts")]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, key, title in zip(
        figure.subplots(1, 2),
        ("pictures_per_s", "p95_s"),
        ("pictures a second", "p95 latency, s"),
        strict=True,
    ):
        for engine, own, colour in _by_engine(rows):
            clients = [float(row.condition.split()[0]) for row in own]
            spreads = [row.values[key] for row in own]
            axes.plot(clients, [one.median for one in spreads], "o-", color=colour, label=engine)
            low, high = [one.low for one in spreads], [one.high for one in spreads]
            axes.fill_between(clients, low, high, color=colour, alpha=0.2)
        axes.set(title=title, xlabel="clients", ylim=(0, None))
        axes.legend(frameon=False)
    return figure


def _open(rows: Sequence[Summary]) -> Figure:
    """p95, and the share of requests within three times their time alone, over arrivals a second."""
    rows = [row for row in rows if "offered_per_s" in row.values]
    mixes = list(dict.fromkeys(row.condition.split(",")[0] for row in rows))
    figure = Figure(figsize=(9, 3.4 * len(mixes)), layout="constrained")
    grid = figure.subplots(len(mixes), 2, squeeze=False)
    for line, mix in zip(grid, mixes, strict=True):
        of_mix = [row for row in rows if row.condition.startswith(mix)]
        for axes, key, title in zip(
            line,
            ("p95_s", "within_3x_percent"),
            ("p95 latency, s", "% within 3 times their time alone"),
            strict=True,
        ):
            for engine, rows_of_it, colour in _by_engine(of_mix):
                own = sorted(rows_of_it, key=lambda row: row.values["offered_per_s"].median)
                offered = [row.values["offered_per_s"].median for row in own]
                values = [row.values[key].median for row in own]
                axes.plot(offered, values, "o-", color=colour, label=engine)
            axes.set(title=f"{mix}: {title}", xlabel="arrivals a second", ylim=(0, None))
            axes.legend(frameon=False)
    return figure


def _by_engine(rows: Sequence[Summary]) -> Iterator[tuple[str, list[Summary], str]]:
    engines = list(dict.fromkeys(row.engine for row in rows))
    for engine, colour in zip(engines, _COLOURS, strict=False):
        yield engine, [row for row in rows if row.engine == engine], colour
