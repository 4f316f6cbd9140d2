"""What training carries from step to step: live weights, fp32 masters, their average, optimizer state.

Live weights are bf16, so every matrix product runs in bf16 without casts; the optimizers move fp32 masters.
Everything is kept in safetensors and JSON, written beside and renamed, so a kill loses one interval at most.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.muon import Muon
from training.train.networks import Networks, is_modulation


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
        self.text_rate = text_rate
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
        self.counters: dict[str, float] = {"steps": 0, "samples": 0, "seconds": 0.0}

    def step(self, muon_rate: float, adam_rate: float, decay: float) -> float:
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
        with torch.no_grad():
            for name, parameter in named:
                parameter.copy_(self.masters[name])
                parameter.grad = None
            torch._foreach_lerp_(
                list(self.average.values()), list(self.masters.values()), 1 - decay
            )
        return float(norm)

    def save(self, folder: Path, note: dict[str, object]) -> None:
        """Write the checkpoint into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"master.{n}": t for n, t in self.masters.items()}
        tensors |= {f"average.{n}": t for n, t in self.average.items()}
        tensors |= {f"muon.{n}": t for n, t in self._muon_state().items()}
        for key in ("exp_avg", "exp_avg_sq", "step"):
            tensors |= {f"{key}.{n}": t for n, t in self._adam_state(key).items()}
        partial = folder / "partial.safetensors"
        save_file({n: t.contiguous() for n, t in tensors.items()}, partial)
        partial.rename(folder / "state.safetensors")
        (folder / "state.json").write_text(json.dumps(self.counters | note), encoding="utf-8")

    def load(self, folder: Path) -> bool:
        """Go on from `folder` if it holds a checkpoint; tell whether it did."""
        path = folder / "state.safetensors"
        if not path.is_file():
            return False
        tensors = load_file(path)
        live = dict(self.networks.named_parameters())
        for name, master in self.masters.items():
            master.copy_(tensors[f"master.{name}"])
            self.average[name].copy_(tensors[f"average.{name}"])
            live[name].data.copy_(master)
            if f"muon.{name}" in tensors:
                self.muon.state[master]["momentum"] = tensors[f"muon.{name}"]
            for key in ("exp_avg", "exp_avg_sq", "step"):
                if f"{key}.{name}" in tensors:
                    self.adam.state[master][key] = tensors[f"{key}.{name}"]
        saved = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        self.counters = {key: saved[key] for key in self.counters}
        return True

    def _muon_state(self) -> dict[str, Tensor]:
        return {
            n: self.muon.state[m]["momentum"]
            for n, m in self.masters.items()
            if "momentum" in self.muon.state.get(m, {})
        }

    def _adam_state(self, key: str) -> dict[str, Tensor]:
        return {
            n: self.adam.state[m][key]
            for n, m in self.masters.items()
            if key in self.adam.state.get(m, {})
        }


def load_average(networks: Networks, folder: Path) -> dict[str, float]:
    """Fill `networks` with the averaged weights of a checkpoint; return its counters."""
    tensors = load_file(folder / "state.safetensors")
    with torch.no_grad():
        for name, parameter in networks.named_parameters():
            parameter.copy_(tensors[f"average.{name}"])
    counters: dict[str, float] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return counters
