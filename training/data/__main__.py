"""`python -m training.data`: fetch the pinned sets, draw them, write the licence table.

Last line of output: one JSON object with the count of pictures per set.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from training.data.fetch import fetch_all
from training.data.render import render_key
from training.data.sources import SOURCES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.data", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path("training/.work"), help="where all data goes"
    )
    parser.add_argument("--processes", type=int, default=2, help="sets drawn at once")
    options = parser.parse_args()
    start = time.perf_counter()
    cache, folder = options.work / "npm", options.work / "pictures"
    fetch_all(cache)
    jobs = [(cache, folder, row.key) for row in SOURCES]
    with ProcessPoolExecutor(options.processes) as pool:
        counts = dict(pool.map(render_key, jobs))
    licences = [asdict(row) | {"pictures": counts[row.key]} for row in SOURCES]
    (options.work / "licences.json").write_text(json.dumps(licences, indent=1), encoding="utf-8")
    seconds = round(time.perf_counter() - start, 1)
    print(json.dumps({"pictures": counts, "total": sum(counts.values()), "seconds": seconds}))


if __name__ == "__main__":
    main()
