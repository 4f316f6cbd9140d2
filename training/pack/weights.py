"""What travels of a run: the averaged weights in bfloat16, half the size of what training keeps.

Comes in: a run's checkpoint, or an exported model folder. Goes out: one file of `average.*` tensors, from which
`training.export` writes a folder and `training.train --start-from` starts another run. Optimizer moments stay where
the run was. Needs no diffusers.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextModel, T5EncoderModel

PREFIX = "average."
TRANSFORMER_FILE = Path("transformer") / "diffusion_pytorch_model.safetensors"


def average_of_run(state: Path, target: Path) -> None:
    """Write the average of the checkpoint file `state`, with its progress."""
    with safe_open(state, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(PREFIX)]  # noqa: SIM118 - no dict
        tensors = {name: file.get_tensor(name) for name in names}
        _write(tensors, target, file.metadata())


def average_of_folder(folder: Path, target: Path) -> None:
    """Write the weights of an exported model folder as if they were a run's average."""
    transformer = load_file(folder / TRANSFORMER_FILE)
    tensors = {f"{PREFIX}transformer.{name}": tensor for name, tensor in transformer.items()}
    encoders = (
        ("t5", T5EncoderModel.from_pretrained(folder / "text_encoder_2")),
        ("clip", CLIPTextModel.from_pretrained(folder / "text_encoder")),
    )
    for key, encoder in encoders:
        tensors |= {f"{PREFIX}{key}.{name}": p.detach() for name, p in encoder.named_parameters()}
    _write(tensors, target, None)


def _write(tensors: dict[str, Tensor], target: Path, metadata: dict[str, str] | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    halves = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in tensors.items()}
    save_file(halves, target, metadata)
