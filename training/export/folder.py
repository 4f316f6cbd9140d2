"""Write the checkpoint folder: diffusers' FluxPipeline layout from what was trained.

Comes in: tokenizers, autoencoder and averaged weights of a run. Goes out: a folder that
`FluxPipeline.from_pretrained` loads as it is. Written beside the target and swapped in by renames.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline

from training.autoencoder.model import build_autoencoder
from training.autoencoder.train import load as load_autoencoder
from training.train.batches import TextFront
from training.train.networks import SIZES, Networks, build_networks
from training.train.state import load_average


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


def trained_networks(
    work: Path, run: str, size: str
) -> tuple[Networks, TextFront, dict[str, float]]:
    """Return the averaged networks of a run, the tokenizers, and the run's counters."""
    front = TextFront(work)
    networks = build_networks(SIZES[size], front.t5, front.clip)
    counters = load_average(networks, work / run)
    return networks.eval(), front, counters


def build_pipeline(work: Path, run: str, size: str) -> tuple[FluxPipeline, dict[str, float]]:
    """Return the whole pipeline in bf16 and the run's counters."""
    networks, front, counters = trained_networks(work, run, size)
    pipeline = FluxPipeline(
        scheduler=build_scheduler(),
        vae=trained_autoencoder(work),
        text_encoder=networks.clip,
        tokenizer=front.clip,
        text_encoder_2=networks.t5,
        tokenizer_2=front.t5,
        transformer=networks.transformer,
    )
    return pipeline.to(torch.bfloat16), counters


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
    """Make every config speak of the checkpoint alone, and load everywhere in one dtype.

    `_name_or_path` would name a folder of the machine that trained. Weights are bf16 on disk; without a dtype
    diffusers loads its parts in fp32 but leaves text encoders in their config's dtype, so that says fp32 too.
    """
    for path in folder.rglob("*.json"):
        table = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(table, dict) and ("_name_or_path" in table or "dtype" in table):
            table.pop("_name_or_path", None)
            if "dtype" in table:
                table["dtype"] = "float32"
            path.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
