"""`python -m training.tokenizers`: write `tokenizer/` (CLIP) and `tokenizer_2/` (T5).

Last line of output: one JSON object with the sizes and how a few sentences are cut.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from training.captions.grammar import BACKGROUNDS, LONG, CaptionWriter
from training.captions.vocabulary import all_words, concept_words, filler_words, words_of
from training.captions.words import COMMON, OPENINGS
from training.data.pictures import load_concepts
from training.data.sources import SOURCES
from training.tokenizers.build import build_clip_tokenizer, build_t5_tokenizer

SAMPLE = "An old CRT monitor on a desk in a messy room, xylophonist's zebras"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.tokenizers", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/.work"))
    parser.add_argument("--concepts", type=int, default=132)
    parser.add_argument("--clip-size", type=int, default=4096)
    parser.add_argument(
        "--captions", type=int, default=40000, help="sentences to learn merges from"
    )
    options = parser.parse_args()
    cache = options.work / "npm"
    concepts = load_concepts(options.concepts)
    known = load_concepts(10_000)  # words of later concepts are pieces already: vocabularies stay
    fillers = filler_words(cache, concepts)
    writer = CaptionWriter(concepts, fillers, seed=0)
    rng = random.Random(0)  # noqa: S311 - not for secrets
    names = list(BACKGROUNDS)
    captions = [
        writer.write(rng.choice(known), rng.choice(SOURCES), rng.choice(names), LONG)
        for _ in range(options.captions)
    ]
    words = all_words(cache, known)
    common = concept_words(known) | set(COMMON) | words_of(*BACKGROUNDS, *OPENINGS)
    t5 = build_t5_tokenizer(words, common | words_of(*(w for s in SOURCES for w in s.style_words)))
    clip = build_clip_tokenizer([*captions, *words], options.clip_size)
    t5.save_pretrained(options.work / "tokenizer_2")
    clip.save_pretrained(options.work / "tokenizer")
    report = {"t5": len(t5), "clip": len(clip), "fillers": len(fillers)}
    report |= {"t5_sample": t5.tokenize(SAMPLE), "clip_sample": clip.tokenize(SAMPLE)}
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    main()
