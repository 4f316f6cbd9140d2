"""`python -m training.tokenizers`: write `tokenizer/` (CLIP), `tokenizer_2/` (T5) and `fillers.json`.

Last line of output: one JSON object with the sizes and how a few sentences are cut.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from training.captions.grammar import LONG, CaptionWriter
from training.captions.scene import SceneSampler
from training.captions.vocabulary import (
    FILLERS_FILE,
    all_words,
    concept_words,
    filler_words,
    painted_words,
    words_of,
)
from training.captions.words import COMMON, OPENINGS
from training.data.items import list_items
from training.data.pictures import PictureStore, load_concepts
from training.tokenizers.build import build_clip_tokenizer, build_t5_tokenizer

MEANT_REPEATS = 100  # of words that mean something, so that each becomes one piece
SAMPLE = "An old CRT monitor on a desk in a messy room, xylophonist's zebras"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.tokenizers", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/.work"))
    parser.add_argument("--concepts", type=int, default=240)
    parser.add_argument("--clip-size", type=int, default=4096)
    parser.add_argument(
        "--captions", type=int, default=40000, help="sentences to learn merges from"
    )
    options = parser.parse_args()
    cache = options.work / "npm"
    concepts = load_concepts(options.concepts)
    fillers = filler_words(cache, concepts)
    items = list_items(PictureStore(options.work / "pictures"), concepts)
    sampler = SceneSampler(items, concepts, seed=0, weights=[1.0] * len(concepts))
    writer = CaptionWriter(concepts, fillers, seed=0)
    captions = [writer.write(sampler.draw(), LONG) for _ in range(options.captions)]
    words = all_words(cache, concepts)
    common = concept_words(concepts) | set(COMMON) | words_of(*OPENINGS) | painted_words()
    t5 = build_t5_tokenizer(words, common)
    clip = build_clip_tokenizer(
        [*captions, *words, *MEANT_REPEATS * sorted(common)], options.clip_size
    )
    path = options.work / FILLERS_FILE
    path.write_text(json.dumps(fillers), encoding="utf-8")
    t5.save_pretrained(options.work / "tokenizer_2")
    clip.save_pretrained(options.work / "tokenizer")
    report = {"t5": len(t5), "clip": len(clip), "fillers": len(fillers)}
    report |= {"t5_sample": t5.tokenize(SAMPLE), "clip_sample": clip.tokenize(SAMPLE)}
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    main()
