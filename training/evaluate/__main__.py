"""`python -m training.evaluate`: paint with an exported folder, judge it, draw the sheets.

Writes `report.json`, `report.md` and `contact-sheet.webp` below --work, the other sheets below --pictures.
Every figure is made here; the last line of output is the report as one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from training.autoencoder.codec import LinearCodec
from training.data.items import list_items
from training.data.pictures import PictureStore, load_concepts
from training.evaluate.copies import Gallery
from training.evaluate.exam import Exam, Room
from training.evaluate.measure import Bench
from training.evaluate.paint import Studio
from training.evaluate.plan import Settings
from training.evaluate.prompts import PromptBook
from training.evaluate.real import load_real
from training.evaluate.table import tables
from training.evaluate.teach import get_judge
from training.train.painter import Painter

JUDGED = 240  # concepts that the judge can name at least, however few a model was taught


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/.work"))
    parser.add_argument("--folder", type=Path, default=Path("models/photogram-mini"))
    parser.add_argument("--concepts", type=int, default=240)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=3.5)
    parser.add_argument("--judge-steps", type=int, default=2000)
    parser.add_argument("--every", type=int, default=1, help="take each so many-th prompt only")
    parser.add_argument("--quick", action="store_true", help="plain prompts and their sheet only")
    parser.add_argument("--pictures", type=Path, help="of the other sheets; default: WORK/sheets")
    parser.add_argument("--processes", type=int, default=2, help="that paint, one thread each")
    return parser.parse_args()


def open_room(options: argparse.Namespace) -> Room:
    """Load the real pictures and the judge, training it first if need be."""
    store = PictureStore(options.work / "pictures")
    everything, concepts = (
        load_concepts(max(JUDGED, options.concepts)),
        load_concepts(options.concepts),
    )
    folder = options.work / "evaluate"
    real = load_real(store, everything, folder / "thumbnails.safetensors")
    path = folder / f"judge-{real.num_concepts}.safetensors"
    judge = get_judge(path, real, options.judge_steps)
    items = list_items(store, concepts)
    codec = LinearCodec.load(options.work / "autoencoder" / "codec.safetensors")
    painter = Painter(store, items, codec, torch.device("cpu"))
    gallery = Gallery(painter, items)
    bench = Bench(judge, len(concepts), gallery)
    return Room(PromptBook(concepts, items), real, bench, painter, options.folder)


def main() -> None:
    options = parse()
    torch.set_num_threads(options.processes)
    start = time.perf_counter()
    room = open_room(options)
    settings = Settings(options.steps, options.guidance, options.every)
    sheets = options.pictures or options.work / "sheets"
    with Studio(options.folder, options.processes) as studio, torch.inference_mode():
        exam = Exam(room, studio, settings, options.work / "contact-sheet.webp", sheets)
        exam.plain_sheet()
        if not options.quick:
            exam.everything()
    report = exam.report | {"seconds": round(time.perf_counter() - start, 1)}
    if not options.quick:
        text = json.dumps(report, indent=1)
        (options.work / "report.json").write_text(text, encoding="utf-8")
        (options.work / "report.md").write_text(tables(report) + "\n", encoding="utf-8")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
