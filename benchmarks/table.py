"""Tables of results, for a terminal and for a page. Text in, text out; pure."""

from collections.abc import Sequence

import msgspec

from benchmarks.figures import Spread
from benchmarks.points import CellResult, Metric, Summary, summarise

_NOTHING = "-"


class Table(msgspec.Struct, frozen=True):
    """A title, a head and rows of equal length."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tabulate(result: CellResult) -> Table:
    """The medians of a cell, and how many times better Photogram is for what is compared."""
    summaries = summarise(result)
    compared = [metric for metric in result.metrics if metric.is_compared]
    if not any(row.ratios for row in summaries):
        compared = []
    head = ["condition", "engine"]
    head += [metric.title for metric in result.metrics]
    head += [f"times better: {metric.title}" for metric in compared]
    head += ["rounds"]
    rows = [_row(row, result.metrics, compared) for row in summaries]
    return Table(result.title, tuple(head), tuple(rows))


def _row(row: Summary, metrics: Sequence[Metric], compared: Sequence[Metric]) -> tuple[str, ...]:
    values = (_median(row.values.get(metric.key), metric.digits) for metric in metrics)
    ratios = (_ratio(row.ratios.get(metric.key)) for metric in compared)
    rounds = f"{row.num_rounds}{' (noisy)' if row.is_noisy else ''}"
    return (row.condition, row.engine, *values, *ratios, rounds)


def _median(values: Spread | None, digits: int) -> str:
    return _NOTHING if values is None else f"{values.median:.{digits}f}"


def _ratio(ratios: Spread | None) -> str:
    if ratios is None:
        return _NOTHING
    if ratios.low == ratios.high:
        return f"{ratios.median:.2f}"
    return f"{ratios.median:.2f} ({ratios.low:.2f} to {ratios.high:.2f})"


def as_text(table: Table) -> str:
    """Columns of equal width; the numbers to the right."""
    lines = [table.head, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.head))]
    printed = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([table.title, "", *printed])


def as_markdown(table: Table) -> str:
    """The same as a Markdown table under a heading."""
    rule = ["---", "---", *("---:" for _ in table.head[2:])]
    lines = [table.head, rule, *table.rows]
    return "\n".join([f"## {table.title}", "", *(f"| {' | '.join(line)} |" for line in lines)])
