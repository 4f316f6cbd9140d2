"""Euler's method for the flow from noise to a picture.

In: a state, noise levels and a velocity, which may be any callable. Out: the state at the last
noise level. It knows no network, prompt or batch.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor


def euler_step(x: Tensor, velocity: Tensor, sigma: float, sigma_next: float) -> Tensor:
    """One step along the velocity (noise minus picture), in float32.

    Source: "Flow Matching for Generative Modeling" (arXiv:2210.02747); Euler's method for
    ``dx/dsigma = velocity``. diffusers `FlowMatchEulerDiscreteScheduler.step`.

    Args:
        x: Any shape, float32: bf16 would lose the small steps near sigma 0.
        velocity: The same shape, any dtype.
        sigma: The noise level of `x`.
        sigma_next: The noise level of the result.
    """
    return x + (sigma_next - sigma) * velocity.float()


def add_noise(clean: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """A picture at a noise level.

    Source: arXiv:2209.03003, equation 1; diffusers `FlowMatchEulerDiscreteScheduler.scale_noise`.

    Args:
        clean: Any shape, float32: level 0.
        noise: The same shape, float32: level 1.
        sigma: The level of the result.
    """
    return sigma * noise + (1.0 - sigma) * clean


def clean_estimate(x: Tensor, velocity: Tensor, sigma: float) -> Tensor:
    """The picture at the end of a straight way: what `x` would be at noise level 0.

    Source: "Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow"
    (arXiv:2209.03003), equation 1: ``x = x0 + sigma * velocity`` where the way is straight.

    Args:
        x: Any shape, float32.
        velocity: The same shape, any dtype.
        sigma: The noise level of `x`.
    """
    return x - sigma * velocity.float()


def solve(
    x: Tensor, sigmas: Sequence[float], velocity: Callable[[Tensor, float], Tensor]
) -> Tensor:
    """Follow the flow through all noise levels: one `velocity` call per step."""
    for sigma, sigma_next in pairwise(sigmas):
        x = euler_step(x, velocity(x, sigma), sigma, sigma_next)
    return x
