"""The report as Markdown, for the model card and for people.

Comes in: what `python -m training.evaluate` wrote as JSON. Goes out: tables and the sentences that explain them.
"""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]


def percent(row: dict[str, Any], key: str) -> str:
    """Return a share as a whole percentage, or nothing where the row has no such figure."""
    return f"{row[key]:.0%}" if key in row else ""


def tables(report: Report) -> str:
    """Return every part of the report."""
    parts = (_named, _scenes, _canvases, _guidances, _copies, _frechet)
    return "\n\n".join(part(report) for part in parts)


def _lines(head: str, rows: list[list[object]]) -> str:
    columns = head.split(" | ")
    lines = [f"| {head} |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _named(report: Report) -> str:
    rows: list[list[object]] = []
    for name, row in report["prompts"].items():
        keys = ("top1", "top5", "nearest", "style")
        ceiling = percent(row.get("ceiling", {}), "top1")
        rows.append([name, row["n"], *(percent(row, key) for key in keys), ceiling])
    for name, row in report["references"].items():
        rows.append([f"*{name}*", row["n"], percent(row, "top1"), percent(row, "top5"), "", "", ""])
    head = "prompts | n | top-1 | top-5 | nearest real picture shows it | style as asked | ceiling"
    return (
        f"A judge, trained on real pictures only and never shown the style `sticker`, names what it sees among "
        f"{report['concepts']} things. Ceiling: its top-1 on the same scenes laid out from real pictures of "
        f"that style. {report['steps']} steps, guidance {report['guidance']:g}, one seed per prompt. "
        "Prompts without a style ask for the 3D style, which the judge knows, so they may pass that ceiling.\n\n"
        + _lines(head, rows)
        + f"\n\nBackground as asked (nearest of fourteen): {report['background']:.1%} of "
        f"{report['background_n']}."
    )


def _scenes(report: Report) -> str:
    parts = (
        ("two things, couple seen in training", "couples_seen", "both"),
        ("two things, couple held out", "couples_held_out", "both"),
        ("two things, held out: each on its own", "couples_held_out", "one"),
        ("two, three or four: right number", "counts", "number"),
        ("two, three or four: thing named", "counts", "top1"),
        ("thing in another colour: colour", "colours", "colour"),
        ("thing in another colour: thing named", "colours", "top1"),
        ("small thing at a side or corner: place", "places", "place"),
        ("small thing at a side or corner: thing named", "places", "top1"),
    )
    rows: list[list[object]] = []
    for name, key, figure in parts:
        row = report[key]
        rows.append([name, row["n"], percent(row, figure), percent(row["ceiling"], figure)])
    text = "Both things must be named by the judge, each in the half where the sentence puts it."
    return _lines("scenes | n | right | ceiling", rows) + "\n\n" + text


def _canvases(report: Report) -> str:
    rows: list[list[object]] = []
    for name, row in report["canvases"].items():
        size = f"{row['width']}x{row['height']}"
        rows.append([name, size, row["n"], percent(row, "top1"), percent(row, "top5")])
    ceiling = report["canvases_ceiling"]
    rows.append(["*real pictures, unseen style*", "256x256", ceiling["n"]])
    rows[-1] += [percent(ceiling, "top1"), percent(ceiling, "top5")]
    return _lines("canvas | pixels | n | top-1 | top-5", rows)


def _guidances(report: Report) -> str:
    row = report["guidances"]
    head = " | ".join(["guidance", *row])
    return _lines(head, [["top-1", *(percent(figures, "top1") for figures in row.values())]])


def _copies(report: Report) -> str:
    table = report["copies"]
    keys = ("copies", "of_the_thing", "of_the_pair", "nearest_is_the_pair")
    rows: list[list[object]] = []
    for name, key in (("seen pairs", "seen"), ("held-out pairs", "held_out")):
        rows.append([name, table[key]["n"], *(percent(table[key], figure) for figure in keys)])
    head = (
        "copies of pictures seen in training | n | of any | of the asked thing | of the asked thing and style"
        " | nearest is the asked picture, seen or not"
    )
    return (
        _lines(head, rows)
        + "\n\nA copy is as close to a real picture, at 32 pixels, as that picture is to its own "
        f"reconstruction by the autoencoder moved by two pixels (error {table['tolerance']:.3f} of full scale). "
        f"{table['twins']:.0%} of the real pictures are that close to one of another set, and "
        f"{table['held_out_real']['copies']:.0%} of the held-out ones to one that training saw: the sets resemble "
        "each other."
    )


def _frechet(report: Report) -> str:
    row = report["frechet"]
    decibels = report["diffusers_psnr"]
    return (
        f"Fréchet distance in the judge's features, {row['n']} pictures of {row['steps']} steps (of which it names "
        f"{row['top1']:.0%}): painted to real {row['painted_to_real']:.2f}; half to the other half: painted to "
        f"real {row['painted_half_to_other_real_half']:.2f}, real to real "
        f"{row['real_half_to_other_real_half']:.2f}. diffusers paints the same pictures: "
        f"{min(decibels):.0f} dB PSNR or more on {len(decibels)} prompts (60 is the most that is said)."
    )
