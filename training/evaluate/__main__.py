"""`python -m training.evaluate`: judge the exported folder and draw the contact sheet.

Last line of output: one JSON object with every figure.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import torch

from training.data.pictures import PictureStore, load_concepts
from training.evaluate.judge import get_judge, thumbnails
from training.evaluate.measure import Bench, background_rate, measure, references, shuffled
from training.evaluate.paint import load_pipeline, paint, sheet
from training.evaluate.prompts import (
    Prompt,
    plain_prompts,
    sentence_prompts,
    styled_prompts,
    synonym_prompts,
)
from training.train.scenes import held_out, list_items


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/.work"))
    parser.add_argument("--folder", type=Path, default=Path("models/photogram-mini"))
    parser.add_argument("--concepts", type=int, default=132)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=3.5)
    parser.add_argument(
        "--true-guidance", type=float, default=1.0, help="with a second pass, above 1"
    )
    parser.add_argument("--judge-seconds", type=float, default=150.0)
    parser.add_argument("--quick", action="store_true", help="plain prompts and the sheet only")
    parser.add_argument("--sheet", type=Path, help="default: contact-sheet.webp below --work")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def prompt_sets(options: argparse.Namespace, bench: Bench) -> dict[str, list[Prompt]]:
    """Return the named sets of prompts to paint."""
    concepts = load_concepts(options.concepts)
    sets = {"plain": plain_prompts(concepts)}
    if options.quick:
        return sets
    unseen = held_out(bench.items)
    seen = [i for i in range(len(bench.items)) if i not in unseen]
    rows = random.Random(5).sample(seen, 96)  # noqa: S311 - not for secrets
    sets["style and background, seen pairs"] = styled_prompts(concepts, bench.items, rows, 6)
    held = styled_prompts(concepts, bench.items, sorted(unseen), 7)
    sets["style and background, held-out pairs"] = held
    sets["long sentences"] = sentence_prompts(concepts)
    sets["other words"] = synonym_prompts(concepts, 8)
    return sets


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    concepts = load_concepts(options.concepts)
    store = PictureStore(options.work / "pictures")
    items = list_items(store, concepts)
    rgba = thumbnails(store, items)
    path = options.work / f"judge-{len(concepts)}.safetensors"
    judge = get_judge(path, rgba, items, len(concepts), options.judge_seconds)
    bench = Bench(judge, rgba, items)
    pipeline = load_pipeline(options.folder)
    report: dict[str, object] = {"steps": options.steps, "guidance": options.guidance}
    table: dict[str, dict[str, float]] = {}
    for name, prompts in prompt_sets(options, bench).items():
        texts = [prompt.text for prompt in prompts]
        pictures = paint(
            pipeline,
            texts,
            steps=options.steps,
            guidance=options.guidance,
            true_guidance=options.true_guidance,
        )
        table[name] = measure(bench, pictures, prompts)
        print(json.dumps({name: table[name]}), flush=True)
        if name == "plain":
            target = options.sheet or options.work / "contact-sheet.webp"
            names = [concept.name for concept in concepts]
            sheet(pictures, names, columns=12, side=96).save(target, quality=82)
            table["plain, shuffled prompts"] = shuffled(bench, pictures, prompts)
        if name == "style and background, seen pairs":
            report["background"], report["background_n"] = background_rate(pictures, prompts)
    chance = {"n": len(concepts), "top1": 1 / len(concepts), "top5": 5 / len(concepts)}
    report |= {"prompts": table, "references": references(bench) | {"chance": chance}}
    if not options.quick:
        (options.work / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
