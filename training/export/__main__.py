"""`python -m training.export`: write the checkpoint folder with profile, card and notice.

Last line of output: one JSON object with the folder's size.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from training.data.pictures import load_concepts
from training.export.card import build_card, build_notice
from training.export.folder import build_pipeline, write_folder
from training.export.profile import build_profile


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/.work"))
    parser.add_argument("--run", default="mini")
    parser.add_argument("--size", default="mini")
    parser.add_argument("--concepts", type=int, default=240)
    parser.add_argument("--target", type=Path, default=Path("models/photogram-mini"))
    options = parser.parse_args()
    concepts = load_concepts(options.concepts)
    pipeline, progress = build_pipeline(options.work, options.run, options.size)
    profile = json.dumps(build_profile(concepts), indent=2, ensure_ascii=False) + "\n"
    texts = {
        "photogram.json": profile,
        "README.md": build_card(options.work, concepts, progress, pipeline),
        "NOTICE": build_notice(),
    }
    sheet = options.work / "contact-sheet.webp"
    options.target.parent.mkdir(parents=True, exist_ok=True)
    write_folder(pipeline, texts, [sheet] if sheet.is_file() else [], options.target)
    files = [path for path in options.target.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(json.dumps({"files": len(files), "size_mib": round(size / 2**20, 2)} | asdict(progress)))


if __name__ == "__main__":
    main()
