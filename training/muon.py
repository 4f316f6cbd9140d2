"""One optimizer for everything trained here: orthogonalised momentum for matrices, Adam for the rest.

Matrices (linear and convolution weights, flattened to out x in) move by the orthogonal factor of their
momentum, so that every direction is learned at one speed; this needs about half the samples of Adam here.
Embeddings, biases, norms and parameters named by the caller use Adam.
Source: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); the update is
scaled by 0.2 * sqrt(max(out, in)) so that both kinds share one learning rate (J. Liu et al., 2025, section 2).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

# Quintic of Jordan et al.: maximises the slope at zero, values stay within about [0.7, 1.2].
QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: Tensor, iterations: int = 5) -> Tensor:
    """Return a matrix with the singular vectors of `matrix` and singular values near one."""
    a, b, c = QUINTIC
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    factor: Tensor = (x.T if tall else x).to(matrix.dtype)
    return factor


class Muon(torch.optim.Optimizer):
    """Orthogonalised Nesterov momentum with decoupled weight decay, for parameters of two or more axes."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        del closure
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)

    def _move(self, parameter: Tensor, grad: Tensor, group: dict[str, float]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"]
        momentum.lerp_(grad, 1 - group["momentum"])
        update = grad.lerp(momentum, group["momentum"]).flatten(1)
        scale = 0.2 * max(update.shape) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        step = orthogonalise(update).view(parameter.shape)
        parameter.add_(step, alpha=-group["lr"] * scale)
