"""The Fréchet distance between two sets of pictures, in the judge's features.

Source: M. Heusel et al., "GANs trained by a two time-scale update rule" (2017), eq. 6; features are the judge's
instead of Inception's, so figures compare with each other alone.
"""

from __future__ import annotations

import torch
from torch import Tensor


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Return |m1 - m2|^2 + tr(c1 + c2 - 2 (c1 c2)^(1/2)) of two (N, D) sets of features."""
    a, b = first.double(), second.double()
    root = _root(torch.cov(a.T))
    inner = root @ torch.cov(b.T) @ root
    cross = torch.linalg.eigvalsh(inner).clamp(min=0).sqrt().sum()
    apart = (a.mean(0) - b.mean(0)).square().sum()
    return float(apart + torch.cov(a.T).trace() + torch.cov(b.T).trace() - 2 * cross)


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
