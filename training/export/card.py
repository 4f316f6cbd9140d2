"""The model card and the notice, filled with the figures that evaluation wrote.

Comes in: `card.md` and `limits.md` beside this file, the profile's vocabulary and the reports of the work
folder. Goes out: two texts. No figure is written by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxPipeline

from training.data.colours import BACKGROUNDS, OBJECT_COLOURS
from training.data.pictures import Concept
from training.data.sources import SOURCES, WORD_PACKAGES
from training.evaluate.table import tables
from training.train.state import Progress

HERE = Path(__file__).parent

NOTICE_HEAD = """Photogram Mini
Copyright 2026 The Photogram Authors

The weights in this folder are licensed under the Apache License, Version 2.0.
They were trained on pictures of these sets, whose authors are thanked and named as their licences ask:

"""


def build_notice() -> str:
    """Return the attribution of each picture set."""
    rows = [
        f"- {s.author}\n  {s.homepage}\n  npm package {s.package} version {s.version}\n  Licence: {s.licence}"
        for s in SOURCES
    ]
    words = [
        f"- npm package {name} version {version} (MIT): names and keywords"
        for name, version in WORD_PACKAGES
    ]
    changes = (
        "\nChanges made to the pictures: drawn at 256x256, recoloured, resized, arranged on coloured backgrounds, and\n"
        "used to train a network; no picture is contained in this folder.\n"
        "CC-BY-4.0: creativecommons.org/licenses/by/4.0\n"
    )
    return NOTICE_HEAD + "\n".join(rows + words) + "\n" + changes


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object, empty where there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def millions(network: torch.nn.Module) -> str:
    """Return how many parameters `network` has."""
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M"


def parts_table(pipeline: FluxPipeline) -> str:
    """Return one row for each network."""
    flux = pipeline.transformer.config
    clip, t5 = pipeline.text_encoder, pipeline.text_encoder_2
    layers = (
        f"{flux.num_layers} double and {flux.num_single_layers} single blocks, "
        f"{flux.num_attention_heads} heads of {flux.attention_head_dim}"
    )
    clip_layers = f"{clip.config.num_hidden_layers} layers of {clip.config.hidden_size}"
    t5_layers = f"{t5.config.num_layers} layers of {t5.config.d_model}"
    length = pipeline.tokenizer_2.model_max_length
    latents = f"factor {pipeline.vae_scale_factor}, {pipeline.vae.config.latent_channels} channels"
    rows = [
        ("transformer", f"`FluxTransformer2DModel`, {layers}", pipeline.transformer),
        ("text_encoder", f"`CLIPTextModel`, {clip_layers}", clip),
        ("text_encoder_2", f"`T5EncoderModel`, {t5_layers}, {length} tokens", t5),
        (
            "vae",
            f"`AutoencoderKL`, {latents}; latents follow a fixed linear transform",
            pipeline.vae,
        ),
    ]
    return "\n".join(f"| {name} | {text} | {millions(part)} |" for name, text, part in rows)


def training_text(progress: Progress, autoencoder: dict[str, float]) -> str:
    """Return one paragraph on how long it was trained and how well the autoencoder does."""
    text = (
        f"The transformer was trained on {progress.samples:,} samples in {progress.seconds / 60:.0f} minutes of wall"
        " time on two shared CPU cores."
    )
    if "unseen_psnr" in autoencoder:
        count = int(autoencoder["unseen_pictures"])
        text += (
            f" Autoencoder on a set that nothing was trained on ({count} icons): {autoencoder['unseen_psnr']:.1f} dB"
            f" PSNR (decoder on exact latents {autoencoder['unseen_psnr_decoder']:.1f} dB, linear transform alone"
            f" {autoencoder['unseen_psnr_linear']:.1f} dB)."
        )
    return text


def build_card(
    work: Path, concepts: list[Concept], progress: Progress, pipeline: FluxPipeline
) -> str:
    """Return the model card."""
    sources = [f"- {s.style}: {s.package} {s.version}, {s.author}, {s.licence}" for s in SOURCES]
    report = read_json(work / "report.json")
    return (
        (HERE / "card.md")
        .read_text(encoding="utf-8")
        .format(
            num_concepts=len(concepts),
            concepts=", ".join(concept.name for concept in concepts),
            styles=", ".join(f"`{s.style}`" for s in SOURCES),
            backgrounds=", ".join(BACKGROUNDS),
            colours=", ".join(OBJECT_COLOURS),
            parts=parts_table(pipeline),
            training=training_text(progress, read_json(work / "autoencoder" / "autoencoder.json")),
            figures=tables(report) if report else "Not measured yet.",
            limits=(HERE / "limits.md").read_text(encoding="utf-8").strip(),
            sources="\n".join(sources),
            words=", ".join(f"{name} {version} (MIT)" for name, version in WORD_PACKAGES),
        )
    )
