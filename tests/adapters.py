"""Adapters as the common trainers write them, with random numbers for a transformer of any shape.

`random_lora` makes the tensors with diffusers' names; the writers turn them into what kohya's
sd-scripts, XLabs, Black Forest Labs' code or ComfyUI name and shape them.
"""

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from photogram.model.params import FluxParams
from photogram.weights.adapters.names import named_layers
from photogram.weights.locate import inspect

State = dict[str, Tensor]

QKV = {
    "img_attn": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
}


def layer_shapes(params: FluxParams, naming: str) -> dict[str, tuple[int, int]]:
    """Every linear layer of a transformer -> its outputs and inputs."""
    layers = named_layers(params)
    return {name: layer.shape for name, layer in layers.items() if layer.naming == naming}


def random_lora(
    shapes: dict[str, tuple[int, int]],
    rank: int,
    *,
    seed: int = 0,
    prefix: str = "transformer.",
    size: float = 1.0,
) -> State:
    """A pair of matrices for each layer, with PEFT's words; `size` is how much they change."""
    generator = torch.Generator().manual_seed(seed)
    state: State = {}
    for name, (rows, columns) in shapes.items():
        down = torch.randn(rank, columns, generator=generator) / math.sqrt(columns)
        up = torch.randn(rows, rank, generator=generator) * size / math.sqrt(rank)
        state[f"{prefix}{name}.lora_A.weight"] = down
        state[f"{prefix}{name}.lora_B.weight"] = up
    return state


def save(path: Path, state: State, **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # what converters share among layers is written once for each
    save_file({name: t.clone() for name, t in state.items()}, path, metadata=metadata)
    return path


def write_adapters(checkpoint: Path) -> Path:
    """A folder in a checkpoint's with `everything` and `attention`, which change all or a part of it."""
    shapes = layer_shapes(inspect(checkpoint).transformer, "diffusers")
    attention = only(shapes, ["attn.to_q", "attn.to_v", "attn.to_out"])
    folder = checkpoint / "loras"
    save(folder / "everything.safetensors", random_lora(shapes, 4, seed=1, size=0.5))
    save(folder / "attention.safetensors", random_lora(attention, 2, seed=2))
    return folder


def kohya(state: State, *, prefix: str = "lora_unet_", alpha: float | None = None) -> State:
    """As sd-scripts writes it: flat names, other words, and an alpha for each layer."""
    written: State = {}
    for name, tensor in state.items():
        layer, _, word = name.removesuffix(".weight").rpartition(".")
        flat = prefix + layer.replace(".", "_")
        written[f"{flat}.{'lora_down' if word == 'lora_A' else 'lora_up'}.weight"] = tensor
        if word == "lora_A":
            written[f"{flat}.alpha"] = torch.tensor(float(len(tensor)) if alpha is None else alpha)
    return written


def xlabs(shapes: dict[str, tuple[int, int]], rank: int) -> State:
    """As x-flux writes it: processors' own names."""
    state = random_lora(shapes, rank, prefix="")
    return {
        name.replace(".lora_A.", ".down.").replace(".lora_B.", ".up."): tensor
        for name, tensor in state.items()
    }


def without(state: State, *parts: str) -> State:
    return {name: t for name, t in state.items() if not any(part in name for part in parts)}


def only(shapes: dict[str, tuple[int, int]], parts: Iterable[str]) -> dict[str, tuple[int, int]]:
    return {name: shape for name, shape in shapes.items() if any(part in name for part in parts)}
