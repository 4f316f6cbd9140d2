"""Write the checkpoint folder: diffusers' FluxPipeline layout from what was trained.

Comes in: tokenizers, autoencoder and averaged weights of a run. Goes out: a folder that
`FluxPipeline.from_pretrained` loads as it is. Written beside the target and swapped in by renames.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)

from training.autoencoder.model import build_autoencoder
from training.autoencoder.train import load as load_autoencoder
from training.train.batches import TextFront
from training.train.networks import SIZES, Networks, build_networks
from training.train.state import STATE_FILE, Progress, load_average
from training.train.transformer import IN_CHANNELS, Transformer


def build_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Return the Euler scheduler with FLUX's dynamic shift, fitted to 40-130 tokens instead of 256-4096."""
    return FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000,
        shift=1.0,
        use_dynamic_shifting=True,
        base_image_seq_len=16,
        max_image_seq_len=256,
        base_shift=0.3,
        max_shift=0.9,
    )


def trained_autoencoder(work: Path) -> AutoencoderKL:
    """Return the trained autoencoder; its latents have unit power by construction (scale 1, shift 0)."""
    model = build_autoencoder()
    load_autoencoder(model, work / "autoencoder")
    return model.eval()


def trained_networks(work: Path, run: str, size: str) -> tuple[Networks, TextFront, Progress]:
    """Return the averaged networks of a run, the tokenizers, and how far the run is."""
    front = TextFront(work)
    networks = build_networks(SIZES[size], front.t5, front.clip)
    progress = load_average(networks, work / run / STATE_FILE)
    return networks.eval(), front, progress


def diffusers_transformer(trained: Transformer) -> FluxTransformer2DModel:
    """Return diffusers' class with the weights of `trained`, whose names it shares."""
    shape = trained.shape
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=IN_CHANNELS,
        num_layers=shape.double_blocks,
        num_single_layers=shape.single_blocks,
        attention_head_dim=shape.head_width,
        num_attention_heads=shape.heads,
        joint_attention_dim=shape.text_width,
        pooled_projection_dim=shape.pooled_width,
        guidance_embeds=True,
        axes_dims_rope=shape.rope_axes,
    )
    model.load_state_dict(trained.state_dict())
    return model


def build_pipeline(work: Path, run: str, size: str) -> tuple[FluxPipeline, Progress]:
    """Return the whole pipeline in bf16 and how far the run is."""
    networks, front, progress = trained_networks(work, run, size)
    pipeline = FluxPipeline(
        scheduler=build_scheduler(),
        vae=trained_autoencoder(work),
        text_encoder=networks.clip,
        tokenizer=front.clip,
        text_encoder_2=networks.t5,
        tokenizer_2=front.t5,
        transformer=diffusers_transformer(networks.transformer),
    )
    return pipeline.to(torch.bfloat16), progress


def write_folder(
    pipeline: FluxPipeline, texts: dict[str, str], extras: list[Path], target: Path
) -> None:
    """Save `pipeline` with `texts` (name -> content) and copies of `extras`, then swap it into `target`."""
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    pipeline.save_pretrained(fresh, safe_serialization=True)
    _tidy_configs(fresh)
    for name, content in texts.items():
        (fresh / name).write_text(content, encoding="utf-8")
    for path in extras:
        shutil.copy(path, fresh / path.name)
    for path in fresh.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    old = target.with_name(target.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if target.is_dir():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _tidy_configs(folder: Path) -> None:
    """Make every config speak of the checkpoint alone, load everywhere in one dtype, and waste no bytes.

    `_name_or_path` would name a folder of the machine that trained. Weights are bf16 on disk; without a dtype
    diffusers loads its parts in fp32 but leaves text encoders in their config's dtype, so that says fp32 too.
    Tokenizer tables are written without the indentation that triples them.
    """
    for path in folder.rglob("*.json"):
        table = json.loads(path.read_text(encoding="utf-8"))
        if path.name == "tokenizer.json":
            compact = json.dumps(table, ensure_ascii=False, separators=(",", ":"))
            path.write_text(compact, encoding="utf-8")
        elif "_name_or_path" in table or "dtype" in table:
            table.pop("_name_or_path", None)
            if "dtype" in table:
                table["dtype"] = "float32"
            path.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
