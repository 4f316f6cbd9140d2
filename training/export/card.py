"""The model card and the notice, filled with the figures that evaluation wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.captions.grammar import BACKGROUNDS
from training.data.pictures import Concept
from training.data.sources import SOURCES, WORD_PACKAGES

CARD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---

# Photogram Mini

A small checkpoint of the FLUX.1 architecture (diffusers' `FluxPipeline` layout), trained from scratch on a CPU
from openly licensed pictures. It paints {num_concepts} everyday things at 256x256 on coloured backgrounds, so
that the whole product runs anywhere and shows real pictures. It is no general image model.

![Contact sheet](contact-sheet.webp)

## Use

`FluxPipeline.from_pretrained("models/photogram-mini")`, then
`pipeline(prompt, height=256, width=256, num_inference_steps=25, guidance_scale=3.5, max_sequence_length=32)`.
Name one thing, if you like a style and a background: "a cat on a blue background", "an apple, flat style".
Unknown words around the thing are tolerated. Without a style word it paints like a soft 3D render, without a
background on white.

- **Things:** {concepts}.
- **Styles:** {styles}.
- **Backgrounds:** {backgrounds}.

## What it is made of

| part | class | parameters |
|---|---|---|
| transformer | `FluxTransformer2DModel`, 2 double and 4 single blocks, 4 heads of 64 | 9.25 M |
| text_encoder | `CLIPTextModel`, 2 layers of 128 | 0.94 M |
| text_encoder_2 | `T5EncoderModel`, 2 layers of 192, 32 tokens | 2.22 M |
| vae | `AutoencoderKL`, factor 16, 16 channels; latents follow a fixed linear transform of unit power | 5.87 M |

{training}

## Figures

{figures}

## Limits

- It knows the things above and nothing else: another word gives some known thing or a blur.
- One thing per picture; places ("on a desk"), counts, actions and the thing's own colour are ignored.
- Fine detail (spokes, strings, text, small faces) is soft. Square pictures are best and 4:3 is usable; at 16:9, 21:9
  and their portraits things are often misshapen. At half the size (`megapixels` 0.25) the picture is the corner of a
  larger one.
- Guidance from 1 to 6 is what it learned; above that colours wash out.
- Weak by eye: banana, elephant, snail, bread, cookie, pig, fried egg, camera, whale.
- Pictures look like the sets that it learned from; some come close to a single training picture.

## Data and licences

Weights: Apache-2.0. Pictures, all from published npm packages at the versions named (see `NOTICE`):

{sources}

Names and keywords: {words} (MIT). Nothing share-alike, nothing GPL, no proprietary art.

## Training it again

`training/README.md` in the repository gives the order of the commands, the times and the seeds.
"""

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
        "\nChanges made to the pictures: drawn at 256x256, laid on coloured backgrounds, and used to train a\n"
        "network; no picture is contained in this folder. CC-BY-4.0: creativecommons.org/licenses/by/4.0\n"
    )
    return NOTICE_HEAD + "\n".join(rows + words) + "\n" + changes


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object, empty where there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def figures_table(report: dict[str, Any]) -> str:
    """Return the judge's rows as Markdown."""
    if not report:
        return "Not measured yet."
    lines = [
        "A judge network, trained on real pictures only and never shown the set of style `sticker`, names what it"
        " sees among all things.",
        "",
        "| prompts | n | top-1 | top-5 | nearest real picture shows the thing |",
        "|---|---|---|---|---|",
    ]
    for name, row in report["prompts"].items():
        nearest = f"{row['nearest']:.0%}" if "nearest" in row else ""
        lines.append(f"| {name} | {row['n']} | {row['top1']:.0%} | {row['top5']:.0%} | {nearest} |")
    for name, row in report["references"].items():
        lines.append(f"| *{name}* | {row['n']} | {row['top1']:.0%} | {row['top5']:.0%} | |")
    lines += ["", f"Background as asked: {report['background']:.0%} of {report['background_n']}. "]
    lines[-1] += f"{report['steps']} steps, guidance {report['guidance']}, one seed per prompt. "
    lines[-1] += (
        "Prompts without a style give the 3D style, which the judge knows, so they may pass its ceiling;"
        " prompts with a style spread over all eight."
    )
    return "\n".join(lines)


def training_text(counters: dict[str, float], autoencoder: dict[str, float]) -> str:
    """Return one paragraph on how long it was trained and how well the autoencoder does."""
    minutes = counters.get("seconds", 0) / 60
    samples = int(counters.get("samples", 0))
    text = (
        f"The transformer was trained on {samples:,} samples in {minutes:.0f} minutes of wall time."
    )
    if "psnr" in autoencoder:
        text += (
            f" Autoencoder on held-out pictures: {autoencoder['psnr']:.1f} dB PSNR"
            f" (decoder on exact latents {autoencoder['psnr_decoder']:.1f} dB)."
        )
    return text


def build_card(work: Path, concepts: list[Concept], counters: dict[str, float]) -> str:
    """Return the model card."""
    sources = [f"- {s.style}: {s.package} {s.version}, {s.author}, {s.licence}" for s in SOURCES]
    return CARD.format(
        num_concepts=len(concepts),
        concepts=", ".join(concept.name for concept in concepts),
        styles=", ".join(f"`{s.style}`" for s in SOURCES),
        backgrounds=", ".join(BACKGROUNDS),
        training=training_text(counters, read_json(work / "autoencoder" / "autoencoder.json")),
        figures=figures_table(read_json(work / "report.json")),
        sources="\n".join(sources),
        words=", ".join(f"{name} {version}" for name, version in WORD_PACKAGES),
    )
