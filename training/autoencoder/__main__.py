"""`python -m training.autoencoder`: fit the latent space, train the decoder, then the encoder.

With no seconds for either it only measures. Last line of output: one JSON object with the PSNR on pictures
never trained on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from training.autoencoder.batches import random_colour, split_pictures
from training.autoencoder.codec import LinearCodec
from training.autoencoder.model import build_autoencoder
from training.autoencoder.train import Plan, load, train_part
from training.autoencoder.unseen import measure_unseen
from training.data.pictures import PictureStore, compose, load_concepts, plain

FIT_PICTURES = 1200


def fit_codec(store: PictureStore, favoured: set[str], path: Path) -> LinearCodec:
    """Fit the latent space once; later calls read it."""
    if path.is_file():
        return LinearCodec.load(path)
    rng = np.random.default_rng(0)
    train, _ = split_pictures(store, favoured)
    chosen = rng.choice(len(train), FIT_PICTURES, replace=False)
    pictures = [compose(store.rgba(train[int(i)]), random_colour(rng)) for i in chosen]
    codec = LinearCodec.fit(np.stack(pictures))
    codec.save(path)
    return codec


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.autoencoder", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/.work"))
    parser.add_argument("--concepts", type=int, default=80, help="how many concepts are favoured")
    parser.add_argument("--decoder-seconds", type=float, default=1500.0)
    parser.add_argument("--encoder-seconds", type=float, default=420.0)
    parser.add_argument("--peak-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="give another one to go on")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    store = PictureStore(options.work / "pictures")
    favoured = {plain(concept.emoji) for concept in load_concepts(options.concepts)}
    folder = options.work / "autoencoder"
    codec = fit_codec(store, favoured, folder / "codec.safetensors")
    model = build_autoencoder()
    load(model, folder)
    pictures = split_pictures(store, favoured)
    for part, seconds in (
        ("decoder", options.decoder_seconds),
        ("encoder", options.encoder_seconds),
    ):
        if seconds > 0:
            plan = Plan(part, seconds, peak_rate=options.peak_rate, seed=options.seed)
            train_part(model, codec, store, pictures, plan, folder)
    path = folder / "autoencoder.json"
    report = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    report |= measure_unseen(model, codec, options.work / "npm")
    path.write_text(json.dumps(report), encoding="utf-8")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
