"""How well the autoencoder does on a whole set that nothing was ever trained on.

Comes in: the fetched set and the trained autoencoder. Goes out: PSNR in dB. The split by emoji in
`training.autoencoder.batches` keeps pictures apart, but their styles were seen; this set shares nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from training.autoencoder.batches import random_colour, to_tensor
from training.autoencoder.codec import LinearCodec
from training.autoencoder.train import measure
from training.data.fetch import package_folder
from training.data.names import IconSet
from training.data.pictures import compose
from training.data.render import draw_svg
from training.data.sources import UNSEEN_PACKAGE


def measure_unseen(model: AutoencoderKL, codec: LinearCodec, cache: Path) -> dict[str, float]:
    """Return the mean PSNR of all pictures of the set, half of them on white, and their number."""
    icons = IconSet(package_folder(cache, *UNSEEN_PACKAGE))
    rng = np.random.default_rng(7)
    pictures = [
        compose(draw_svg(icons.svg(slug)), random_colour(rng)) for slug in sorted(icons.icons)
    ]
    sums: dict[str, float] = {}
    with torch.no_grad():
        for picture in pictures:
            for name, value in measure(model, codec, to_tensor([picture])).items():
                sums[name] = sums.get(name, 0.0) + value
    means = {f"unseen_{name}": value / len(pictures) for name, value in sums.items()}
    return means | {"unseen_pictures": len(pictures)}
