"""Start a run from another one whose vocabularies differ: word vectors are carried by piece.

Comes in: an older checkpoint with its tokenizers, and fresh networks with theirs. Goes out: the networks,
filled; pieces that the older run lacked keep their fresh vectors.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from training.train.batches import TextFront
from training.train.networks import Networks

T5_TABLES = ("t5.shared.weight", "t5.encoder.embed_tokens.weight")
CLIP_TABLE = "token_embedding.weight"


@torch.no_grad()
def carry_over(networks: Networks, front: TextFront, state: Path, tokenizers: Path) -> int:
    """Fill `networks` with the average of the checkpoint `state`; return how many pieces are new."""
    old = TextFront(tokenizers)
    tensors = load_file(state)
    missing = 0
    for name, parameter in networks.named_parameters():
        value = tensors[f"average.{name}"]
        if name in T5_TABLES:
            missing += _copy_rows(parameter, value, front.t5.get_vocab(), old.t5.get_vocab())
        elif name.endswith(CLIP_TABLE):
            missing += _copy_rows(parameter, value, front.clip.get_vocab(), old.clip.get_vocab())
        else:
            parameter.copy_(value)
    return missing


def _copy_rows(new: Tensor, old: Tensor, pieces: dict[str, int], known: dict[str, int]) -> int:
    """Copy rows of pieces that both have; a capitalised new piece takes its lower-case row."""
    missing = 0
    for piece, row in pieces.items():
        source = known.get(piece, known.get(piece.lower()))
        if source is None:
            missing += 1
            if piece.lower() != piece and piece.lower() in pieces:
                new[row] = new[pieces[piece.lower()]]
        else:
            new[row] = old[source]
    return missing
