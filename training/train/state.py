"""What training carries from step to step: live weights, fp32 masters, their average, optimizer state.

Live weights are bf16, so every matrix product runs in bf16 without casts; the optimizers move fp32 masters.
All of it is one safetensors file with the progress in its metadata, written beside and renamed, so a kill
loses one interval at most and never leaves halves that do not belong together.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.muon import Muon
from training.train.networks import Networks, is_modulation

STATE_FILE = "state.safetensors"
ADAM_KEYS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; times in seconds."""

    phase: str = ""
    phase_seconds: float = 0.0
    phase_steps: int = 0
    steps: int = 0
    samples: int = 0
    seconds: float = 0.0


def uses_muon(name: str, parameter: Tensor) -> bool:
    """Tell whether a parameter is an inner matrix of the transformer."""
    inside = name.startswith(("transformer.transformer_blocks", "transformer.single_transformer"))
    return inside and parameter.ndim == 2 and not is_modulation(name)


class TrainingState:
    """Masters, average and optimizers of one set of networks."""

    def __init__(self, networks: Networks, text_rate: float) -> None:
        self.networks = networks
        self.masters = {n: p.detach().float().clone() for n, p in networks.named_parameters()}
        self.average = {n: m.clone() for n, m in self.masters.items()}
        muon = [m for n, m in self.masters.items() if uses_muon(n, m)]
        text = [m for n, m in self.masters.items() if not n.startswith("transformer.")]
        rest = [
            m
            for n, m in self.masters.items()
            if n.startswith("transformer.") and not uses_muon(n, m)
        ]
        self.muon = Muon(muon, lr=0.0, weight_decay=0.01)
        groups = [{"params": rest, "share": 1.0}, {"params": text, "share": text_rate}]
        self.adam = torch.optim.AdamW(
            groups, lr=0.0, betas=(0.9, 0.98), weight_decay=0.0, fused=True
        )
        self.progress = Progress()

    def begin(self, phase: str) -> None:
        """Start another phase."""
        self.progress = replace(self.progress, phase=phase, phase_seconds=0.0, phase_steps=0)

    def count(self, before: Progress, samples: int, spent: float) -> None:
        """Count one step of `samples`; `spent` seconds have gone since `before`."""
        now = self.progress
        self.progress = replace(
            now,
            phase_seconds=before.phase_seconds + spent,
            phase_steps=now.phase_steps + 1,
            steps=now.steps + 1,
            samples=now.samples + samples,
            seconds=before.seconds + spent,
        )

    def summary(self) -> dict[str, object]:
        """Return the progress for a report."""
        return {
            k: round(v, 1) if isinstance(v, float) else v for k, v in asdict(self.progress).items()
        }

    def step(self, muon_rate: float, adam_rate: float) -> float:
        """Move masters by the live gradients, refresh live weights and the average; return the norm."""
        named = list(self.networks.named_parameters())
        for name, parameter in named:
            grad = parameter.grad
            self.masters[name].grad = None if grad is None else grad.float()
        norm = torch.nn.utils.clip_grad_norm_(list(self.masters.values()), 1.0)
        self.muon.param_groups[0]["lr"] = muon_rate
        for group in self.adam.param_groups:
            group["lr"] = adam_rate * group["share"]
        self.muon.step()
        self.adam.step()
        steps = self.progress.phase_steps
        decay = min(0.998, (1 + steps) / (10 + steps))
        with torch.no_grad():
            for name, parameter in named:
                parameter.copy_(self.masters[name])
                parameter.grad = None
            torch._foreach_lerp_(
                list(self.average.values()), list(self.masters.values()), 1 - decay
            )
        return float(norm)

    def save(self, folder: Path) -> None:
        """Write the checkpoint into `folder`."""
        tensors = {f"master.{n}": t for n, t in self.masters.items()}
        tensors |= {f"average.{n}": t for n, t in self.average.items()}
        for name, master in self.masters.items():
            if "momentum" in self.muon.state.get(master, {}):
                tensors[f"muon.{name}"] = self.muon.state[master]["momentum"]
            for key in ADAM_KEYS:
                if key in self.adam.state.get(master, {}):
                    tensors[f"{key}.{name}"] = self.adam.state[master][key]
        self._write(tensors, folder / STATE_FILE)

    def save_average(self, path: Path) -> None:
        """Write the averaged weights alone."""
        self._write({f"average.{n}": t for n, t in self.average.items()}, path)

    def _write(self, tensors: dict[str, Tensor], path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        metadata = {"progress": json.dumps(asdict(self.progress))}
        save_file({n: t.contiguous() for n, t in tensors.items()}, partial, metadata)
        partial.rename(path)

    def load(self, folder: Path) -> None:
        """Go on from the checkpoint in `folder`."""
        path = folder / STATE_FILE
        tensors = load_file(path)
        live = dict(self.networks.named_parameters())
        for name, master in self.masters.items():
            master.copy_(tensors[f"master.{name}"])
            self.average[name].copy_(tensors[f"average.{name}"])
            live[name].data.copy_(master)
            if f"muon.{name}" in tensors:
                self.muon.state[master]["momentum"] = tensors[f"muon.{name}"].to(master.device)
            for key in ADAM_KEYS:
                if f"{key}.{name}" in tensors:
                    self.adam.state[master][key] = tensors[f"{key}.{name}"].to(master.device)
        self.progress = read_progress(path)


def read_progress(path: Path) -> Progress:
    """Return how far the checkpoint file `path` is."""
    with safe_open(path, framework="pt") as file:
        return Progress(**json.loads(file.metadata()["progress"]))


def load_average(networks: Networks, path: Path) -> Progress:
    """Fill `networks` with the averaged weights of the checkpoint file `path`; return its progress."""
    with safe_open(path, framework="pt") as file, torch.no_grad():
        for name, parameter in networks.named_parameters():
            parameter.copy_(file.get_tensor(f"average.{name}"))
    return read_progress(path)
