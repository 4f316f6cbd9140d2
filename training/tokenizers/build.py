"""Make the two tokenizers: Unigram of whole words for T5, byte-pair merges for CLIP.

Comes in: the word list and sample captions. Goes out: `transformers` tokenizers that load with
`FluxPipeline.from_pretrained`. Reloading a T5 tokenizer drops any normaliser, so capitalised forms are pieces
of their own; an unknown word is one `<unk>` and costs two tokens, not ten.
"""

from __future__ import annotations

import json

from tokenizers import Tokenizer, models, trainers
from transformers import CLIPTokenizer, T5TokenizerFast

T5_LENGTH = 64
CLIP_LENGTH = 77
PUNCTUATION = ",.!?:;-'\"()&/0123456789"


def build_t5_tokenizer(words: list[str], common: set[str]) -> T5TokenizerFast:
    """Return a Unigram tokenizer whose pieces are whole words.

    Args:
        words: lower-case words.
        common: those of them that also get a capitalised (and, if short, an upper-case) piece.
    """
    pieces: dict[str, float] = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0}
    for word in words:
        pieces["▁" + word] = -8.0
    for word in sorted(common):
        for form in (word.capitalize(), word.upper()):
            pieces.setdefault("▁" + form, -8.5)
    pieces["▁"] = -9.0
    for mark in PUNCTUATION:
        pieces.setdefault(mark, -9.0)
        pieces.setdefault("▁" + mark, -9.0)
    for ending in ("s", "es", "'s"):
        pieces.setdefault(ending, -9.5)
    vocabulary = list(pieces.items())
    return T5TokenizerFast(vocab=vocabulary, extra_ids=0, model_max_length=T5_LENGTH)


def build_clip_tokenizer(captions: list[str], size: int) -> CLIPTokenizer:
    """Return a byte-pair tokenizer of about `size` pieces, trained on `captions`."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    shell = CLIPTokenizer(vocab={start: 0, end: 1}, merges=[])
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=end))
    trained.normalizer = shell.backend_tokenizer.normalizer
    trained.pre_tokenizer = shell.backend_tokenizer.pre_tokenizer
    letters = [chr(code) for code in range(33, 127)]
    # Ids of word-final letters would come from a hash map's order, and with them the order of equal merges.
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[letter + "</w>" for letter in letters],
        initial_alphabet=letters,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    trained.train_from_iterator(captions, trainer)
    learned = trained.get_vocab()
    pieces = sorted(learned, key=lambda piece: learned[piece])
    merges = [tuple(merge) for merge in _merges(trained)]
    vocabulary = {piece: index for index, piece in enumerate(_alphabet(pieces))}
    # The last two ids, as in OpenAI's file: an end id of 2 would switch transformers to a legacy rule.
    vocabulary[start] = len(vocabulary)
    vocabulary[end] = len(vocabulary)
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CLIP_LENGTH)


def _alphabet(pieces: list[str]) -> list[str]:
    """Return `pieces` with the word-final form of every single character, which a merge may lack."""
    singles = [piece + "</w>" for piece in pieces if len(piece) == 1]
    return list(dict.fromkeys([*pieces, *singles]))


def _merges(trained: Tokenizer) -> list[list[str]]:
    return json.loads(trained.to_str())["model"]["merges"]
