"""A step cache skips what would change little, for each request by itself."""

import pytest
import torch

from photogram.model.attention import Packing
from photogram.model.params import FluxParams
from photogram.model.rope import rope
from photogram.model.step_cache import Remembered, StepCache
from photogram.model.transformer import Flux
from photogram.sampling.latents import position_ids

PARAMS = FluxParams(
    in_channels=16,
    out_channels=16,
    vec_in_dim=8,
    context_in_dim=24,
    hidden_size=32,
    num_heads=2,
    depth=2,
    depth_single_blocks=2,
    axes_dim=(4, 4, 8),
    guidance_embed=False,
)
TEXT = 5
Inputs = tuple[torch.Tensor, torch.Tensor, list[torch.Tensor], list[torch.Tensor], Packing]


@pytest.fixture(scope="module")
def flux() -> Flux:
    torch.manual_seed(0)
    flux = Flux(PARAMS).requires_grad_(requires_grad=False)
    for parameter in flux.parameters():
        parameter.normal_(0, 0.2)
    return flux


def inputs(*sides: int, change: float = 0.0) -> Inputs:
    """The inputs of a step of squares; `change` makes those of another step of the same."""
    generator = torch.Generator().manual_seed(sum(sides))
    mods = [torch.randn(PARAMS.num_modulations, 32, generator=generator) for _ in sides]
    return (
        torch.cat([image(side) for side in sides]),
        torch.cat([torch.ones(TEXT, 24) * side for side in sides]),
        [rope(position_ids(side, side, TEXT), PARAMS.axes_dim) for side in sides],
        [(1 + change) * mod for mod in mods],
        Packing(tuple(side**2 for side in sides), (TEXT,) * len(sides)),
    )


def image(side: int) -> torch.Tensor:
    return torch.randn(side**2, 16, generator=torch.Generator().manual_seed(side))


def alone(each: Inputs, index: int) -> Inputs:
    img, txt, pe, mods, packing = each
    return (
        img.split(packing.img)[index],
        txt.split(packing.txt)[index],
        [pe[index]],
        [mods[index]],
        Packing((packing.img[index],), (TEXT,)),
    )


@torch.inference_mode()
def test_whole_steps_are_the_transformers_own(flux: Flux) -> None:
    cache = StepCache(flux, threshold=1e-9)
    first, second = inputs(3, 2), inputs(3, 2, change=0.1)
    velocity, remembered = cache(*first, (), [None, None])
    assert torch.equal(velocity, flux(*first))
    velocity, again = cache(*second, (), remembered)
    assert torch.equal(velocity, flux(*second))
    assert all(new is not old for new, old in zip(again, remembered, strict=True))


@torch.inference_mode()
def test_a_step_that_changes_little_takes_what_the_others_added(flux: Flux) -> None:
    cache = StepCache(flux, threshold=0.2)
    _, remembered = cache(*inputs(3), (), [None])
    second = inputs(3, change=0.01)
    velocity, again = cache(*second, (), remembered)
    assert again[0] is remembered[0]
    exact = flux(*second)
    assert not torch.equal(velocity, exact)
    assert (velocity - exact).norm() < 0.2 * exact.norm()


@torch.inference_mode()
def test_the_same_step_again_is_the_same(flux: Flux) -> None:
    cache = StepCache(flux, threshold=0.01)
    velocity, remembered = cache(*inputs(3), (), [None])
    skipped, _ = cache(*inputs(3), (), remembered)
    assert torch.allclose(skipped, velocity, atol=1e-4)


@torch.inference_mode()
def test_every_request_decides_for_itself(flux: Flux) -> None:
    """One is at its first step, one skips and one does not: each is as it would be alone."""
    cache = StepCache(flux, threshold=0.1)
    _, remembered = cache(*inputs(3, 2, 4), (), [None, None, None])
    img, txt, pe, mods, packing = inputs(3, 2, 4)
    mods = [mods[0], mods[1], 3 * mods[2]]
    memories: list[Remembered | None] = [None, *remembered[1:]]
    velocity, now = cache(img, txt, pe, mods, packing, (), memories)
    assert now[1] is remembered[1]
    assert now[2] is not remembered[2]
    for index, piece in enumerate(velocity.split(packing.img)):
        one = alone((img, txt, pe, mods, packing), index)
        own, _ = cache(*one, (), [memories[index]])
        assert torch.equal(own, piece)
