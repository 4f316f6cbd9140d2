"""Paint prompts with diffusers' own pipeline from the exported folder, and lay pictures on a sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import FluxPipeline
from PIL import Image, ImageDraw
from torch import Tensor


def load_pipeline(folder: Path) -> FluxPipeline:
    """Return the exported pipeline in bf16, silent."""
    pipeline = FluxPipeline.from_pretrained(folder, dtype=torch.bfloat16)
    pipeline.vae.to(torch.float32, memory_format=torch.channels_last)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def paint(
    pipeline: FluxPipeline,
    texts: list[str],
    *,
    steps: int = 25,
    guidance: float = 3.5,
    size: tuple[int, int] = (256, 256),
    true_guidance: float = 1.0,
    batch_size: int = 24,
) -> Tensor:
    """Return (N, 3, H, W) in [0, 1]; picture i has seed i."""
    pictures = []
    width, height = size
    for start in range(0, len(texts), batch_size):
        chunk = texts[start : start + batch_size]
        generators = [torch.Generator().manual_seed(start + i) for i in range(len(chunk))]
        extra = {"negative_prompt": [""] * len(chunk)} if true_guidance > 1 else {}
        latents = pipeline(
            prompt=chunk,
            width=width,
            height=height,
            num_inference_steps=steps,
            guidance_scale=guidance,
            true_cfg_scale=true_guidance,
            max_sequence_length=pipeline.tokenizer_2.model_max_length,
            generator=generators,
            output_type="latent",
            **extra,
        ).images
        factor = pipeline.vae_scale_factor
        latents = pipeline._unpack_latents(latents, height, width, factor)  # noqa: SLF001 - no public way
        config = pipeline.vae.config
        latents = latents.float() / config.scaling_factor + config.shift_factor
        pictures.append(pipeline.vae.decode(latents).sample / 2 + 0.5)
    return torch.cat(pictures).float().clamp(0, 1)


def to_image(picture: Tensor) -> Image.Image:
    """Return a (3, H, W) picture in [0, 1] as an 8-bit image."""
    return Image.fromarray((picture.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))


def sheet(pictures: Tensor, texts: list[str], columns: int = 8, side: int = 128) -> Image.Image:
    """Return a contact sheet with each prompt below its picture."""
    rows = (len(texts) + columns - 1) // columns
    canvas = Image.new("RGB", (columns * side, rows * (side + 14)), (255, 255, 255))
    draw = ImageDraw.Draw(canvas)
    for index, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        left, top = index % columns * side, index // columns * (side + 14)
        canvas.paste(to_image(picture).resize((side, side), Image.Resampling.LANCZOS), (left, top))
        draw.text((left + 3, top + side + 1), text[: side // 6], fill=(60, 60, 60))
    return canvas
