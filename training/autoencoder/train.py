"""Train the decoder on the fixed latents, then the encoder to give them. Resumable.

The decoder sees latents with a little noise, so that it forgives what a transformer gets slightly wrong.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.autoencoder.batches import held_out_batch, training_batch
from training.autoencoder.codec import LinearCodec
from training.data.pictures import Picture, PictureStore
from training.muon import Muon


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast one part is trained."""

    part: str  # "decoder" or "encoder"
    seconds: float
    batch_size: int = 16
    peak_rate: float = 2e-3
    seed: int = 0


def psnr(x: Tensor, y: Tensor) -> float:
    """Return the PSNR in dB of pictures in [-1, 1], by their mean squared error over all."""
    error = ((x.clamp(-1, 1) - y) / 2).square().mean()
    return float(-10 * torch.log10(error))


def edges(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return horizontal and vertical differences."""
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def picture_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 + squared error + L1 of the edges."""
    difference = output - target
    edge = sum((a - b).abs().mean() for a, b in zip(edges(output), edges(target), strict=True))
    return difference.abs().mean() + 2 * difference.square().mean() + edge


def decoder_loss(model: AutoencoderKL, codec: LinearCodec, x: Tensor) -> Tensor:
    """Paint from the linear latents, half of them with noise of up to 0.2."""
    latents = codec.encode(x)
    sigma = torch.rand(len(x), 1, 1, 1) * 0.4 - 0.2
    latents = latents + sigma.clamp(min=0) * torch.randn_like(latents)
    return picture_loss(model.decode(latents).sample, x)


def encoder_loss(model: AutoencoderKL, codec: LinearCodec, x: Tensor) -> Tensor:
    """Give the linear latents; the log variance settles at a small constant."""
    moments = model.encode(x).latent_dist
    small = (moments.logvar + 8).square().mean()
    return (moments.mean - codec.encode(x)).square().mean() + 1e-3 * small


@torch.no_grad()
def measure(model: AutoencoderKL, codec: LinearCodec, x: Tensor) -> dict[str, float]:
    """Return PSNR on unseen pictures: linear, decoder on linear latents, whole autoencoder."""
    latents = codec.encode(x)
    encoded = model.encode(x).latent_dist.mean
    return {
        "psnr_linear": psnr(codec.decode(latents), x),
        "psnr_decoder": psnr(model.decode(latents).sample, x),
        "psnr": psnr(model.decode(encoded).sample, x),
        "latent_error": float((encoded - latents).square().mean()),
    }


def save(model: AutoencoderKL, folder: Path, state: dict[str, float]) -> None:
    """Write weights and progress, each by a rename."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "partial.safetensors")
    (folder / "partial.safetensors").rename(folder / "autoencoder.safetensors")
    (folder / "autoencoder.json").write_text(json.dumps(state), encoding="utf-8")


def load(model: AutoencoderKL, folder: Path) -> None:
    """Load weights if there are any."""
    path = folder / "autoencoder.safetensors"
    if path.is_file():
        model.load_state_dict(load_file(path))


def build_optimizers(part: torch.nn.Module) -> list[torch.optim.Optimizer]:
    """Return Muon for the convolutions, Adam for biases and norms."""
    kernels = [p for p in part.parameters() if p.ndim > 1]
    rest = [p for p in part.parameters() if p.ndim == 1]
    return [
        Muon(kernels, lr=0.0),
        torch.optim.AdamW(rest, lr=0.0, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def train_part(
    model: AutoencoderKL,
    codec: LinearCodec,
    store: PictureStore,
    pictures: tuple[list[Picture], list[Picture]],
    plan: Plan,
    folder: Path,
) -> None:
    """Train one part by the clock, with warm-up and a linear decay of the rate."""
    rng = np.random.default_rng([plan.seed, plan.part == "decoder"])
    unseen = held_out_batch(store, pictures[1], 24)
    part = model.decoder if plan.part == "decoder" else model.encoder
    loss_of = decoder_loss if plan.part == "decoder" else encoder_loss
    optimizers = build_optimizers(part)
    start, seen, step, total, reported = time.perf_counter(), 0, 0, 0.0, 0.0
    while (spent := time.perf_counter() - start) < plan.seconds:
        decay = 1 - spent / plan.seconds
        rate = plan.peak_rate * min(1.0, (step + 1) / 20) * decay
        x = training_batch(store, pictures[0], rng, plan.batch_size)
        loss = loss_of(model, codec, x)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(part.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step, seen, total = step + 1, seen + len(x), total * 0.97 + loss.item() * 0.03
        if spent - reported > 120 or step == 20:
            reported = spent
            state = measure(model, codec, unseen) | {"seconds": spent, "pictures": seen}
            print(
                json.dumps(
                    {"part": plan.part, "step": step, "loss": total / (1 - 0.97**step)} | state
                ),
                flush=True,
            )
            save(model, folder, state)
    state = measure(model, codec, unseen) | {"seconds": plan.seconds, "pictures": seen}
    save(model, folder, state)
    print(json.dumps({"part": plan.part, "step": step} | state), flush=True)
