"""`python -m training.pack`: carry data to a bare machine and weights back, in few small files.

`make` writes the data pack, `open` fills a work folder from it; `start` turns an exported model folder into a file to
start from; `results` cuts a run's averaged weights into parts, `join` puts them together again; `concepts` lists
more things than the chosen ones. Last line of output: one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from training.data.pictures import CONCEPTS_PATH, MORE_CONCEPTS_PATH, PictureStore, load_concepts
from training.pack.bundle import pack, unpack
from training.pack.concepts import more_concepts
from training.pack.shards import join, split
from training.pack.weights import average_of_folder, average_of_run

STATE_FILE = "state.safetensors"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.pack", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    row = kinds.add_parser("concepts", help="write the list of further concepts")
    row.add_argument("--work", type=Path, default=Path("training/.work"))
    row.add_argument("--count", type=int, default=820)
    row = kinds.add_parser("make", help="write the data pack")
    row.add_argument("file", type=Path)
    row.add_argument("--work", type=Path, default=Path("training/.work"))
    row.add_argument("--concepts", type=int, default=240)
    row.add_argument("--quality", type=int, default=30, help="of WebP, 0 to 100")
    row.add_argument("--limit-mib", type=float, default=20.0)
    row = kinds.add_parser("open", help="fill a work folder from a data pack")
    row.add_argument("file", type=Path)
    row.add_argument("--work", type=Path, required=True)
    row = kinds.add_parser("start", help="write an exported model folder as a file to start from")
    row.add_argument("folder", type=Path)
    row.add_argument("--into", type=Path, required=True)
    row = kinds.add_parser("results", help="cut a run's averaged weights into small parts")
    row.add_argument("run", type=Path, help="folder of the run")
    row.add_argument("--into", type=Path, required=True)
    row = kinds.add_parser("join", help="put the parts back as a run's checkpoint, for export")
    row.add_argument("parts", type=Path)
    row.add_argument("--run", type=Path, required=True, help="folder of the run")
    return parser.parse_args()


def write_concepts(work: Path, count: int) -> dict[str, object]:
    """Write `more_concepts.json` beside the chosen concepts."""
    chosen = load_concepts(len(json.loads(CONCEPTS_PATH.read_text(encoding="utf-8"))))
    rows = more_concepts(PictureStore(work / "pictures"), work / "npm", chosen, count)
    lines = [json.dumps(asdict(row), ensure_ascii=False) for row in rows]
    MORE_CONCEPTS_PATH.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    return {"chosen": len(chosen), "more": len(rows)}


def write_results(run: Path, folder: Path) -> dict[str, object]:
    """Write the parts of a run's average into `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        average = Path(scratch) / STATE_FILE
        average_of_run(run / STATE_FILE, average)
        return {"parts": [path.name for path in split(average, folder)]}


def main() -> None:
    options = parse()
    report: dict[str, object] = {}
    match options.kind:
        case "concepts":
            report = write_concepts(options.work, options.count)
        case "make":
            limit = int(options.limit_mib * 2**20)
            concepts = load_concepts(options.concepts)
            pictures = pack(options.work, concepts, options.file, options.quality, limit)
            report = {"concepts": len(concepts), "pictures": sum(pictures.values())}
            report["mib"] = round(options.file.stat().st_size / 2**20, 2)
        case "open":
            report = {"pictures": sum(unpack(options.file, options.work).values())}
        case "start":
            average_of_folder(options.folder, options.into)
            report = {"bytes": options.into.stat().st_size}
        case "results":
            report = write_results(options.run, options.into)
        case "join":
            join(options.parts, options.run / STATE_FILE)
            report = {"bytes": (options.run / STATE_FILE).stat().st_size}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
