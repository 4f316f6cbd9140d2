"""Pictures for the autoencoder: every set, random backgrounds, crops and whole pictures.

Pictures whose emoji falls into the held-out twentieth are never trained on; PSNR is measured on them.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor

from training.data.pictures import Picture, PictureStore, compose

WHITE = (1.0, 1.0, 1.0)


def is_held_out(picture: Picture) -> bool:
    """Tell whether `picture` is kept for measuring."""
    return zlib.crc32(picture.emoji.encode()) % 20 == 0


def split_pictures(store: PictureStore, favoured: set[str]) -> tuple[list[Picture], list[Picture]]:
    """Return (training pictures, with the favoured emoji four times, held-out pictures)."""
    train: list[Picture] = []
    for picture in store.pictures:
        if picture.emoji in favoured:
            train += [picture] * 4
        elif not is_held_out(picture):
            train.append(picture)
    held = [p for p in store.pictures if is_held_out(p) and p.emoji not in favoured]
    return train, held


def random_colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """Return white half of the time, else any colour."""
    if rng.random() < 0.5:
        return WHITE
    red, green, blue = rng.random(3)
    return float(red), float(green), float(blue)


def to_tensor(pictures: list[np.ndarray]) -> Tensor:
    """Return (B, 3, H, W) in [-1, 1], channels_last."""
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) * 2 - 1
    return x.contiguous(memory_format=torch.channels_last)


def training_batch(
    store: PictureStore, pictures: list[Picture], rng: np.random.Generator, size: int
) -> Tensor:
    """Return `size` crops of 128 px, or a quarter as many whole 256 px pictures now and then."""
    whole = rng.random() < 0.2
    chosen = []
    for index in rng.integers(0, len(pictures), size // 4 if whole else size):
        side = 256 if whole or rng.random() < 0.7 else 128
        rgba = store.rgba(pictures[int(index)])
        picture = compose(rgba, random_colour(rng), side, side)
        if not whole and side == 256:
            top, left = rng.integers(0, 129, 2)
            picture = picture[top : top + 128, left : left + 128]
        chosen.append(picture[:, ::-1] if rng.random() < 0.5 else picture)
    return to_tensor(chosen)


def held_out_batch(store: PictureStore, held: list[Picture], count: int) -> Tensor:
    """Return the same `count` unseen whole pictures every time, half on white."""
    rng = np.random.default_rng(7)
    chosen = [held[int(i)] for i in rng.choice(len(held), count, replace=False)]
    return to_tensor([compose(store.rgba(p), random_colour(rng)) for p in chosen])
