"""The GPU's path: on a CPU what of it can run there, the rest where there is a GPU."""

import pytest
import torch
from torch import Tensor

from photogram.model.attention import Packing
from photogram.model.params import FluxParams
from photogram.model.rope import rope
from photogram.model.transformer import Flux
from photogram.pipeline.cuda import GRAPH_TOKENS, CudaFlux
from photogram.sampling.latents import position_ids

PARAMS = FluxParams(16, 16, 8, 24, 128, 2, 1, 2, (16, 24, 24), guidance_embed=False)
TEXT = 8

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

Inputs = tuple[Tensor, Tensor, list[Tensor], list[Tensor], Packing]


def make_flux(device: str) -> Flux:
    torch.manual_seed(0)
    flux = Flux(PARAMS).eval().requires_grad_(requires_grad=False)
    for parameter in flux.parameters():
        parameter.normal_(0.0, 0.05)
    return flux.to(device, torch.bfloat16)


def make_inputs(sides: list[int], device: str) -> Inputs:
    lengths = tuple(side * side for side in sides)
    ids = [position_ids(side, side, TEXT) for side in sides]
    vectors = (PARAMS.num_modulations, PARAMS.hidden_size)
    kind = {"dtype": torch.bfloat16, "device": device}
    return (
        torch.randn(sum(lengths), PARAMS.in_channels, **kind),
        torch.randn(TEXT * len(sides), PARAMS.context_in_dim, **kind),
        [rope(each, PARAMS.axes_dim).to(device) for each in ids],
        [torch.randn(vectors, **kind) for _ in sides],
        Packing(lengths, (TEXT,) * len(sides)),
    )


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, at import
@torch.inference_mode()
def test_large_batch_is_what_the_transformer_says() -> None:
    flux, inputs = make_flux("cpu"), make_inputs([46], "cpu")
    assert sum(inputs[-1].total) > GRAPH_TOKENS
    expected = flux(*inputs)
    with torch.compiler.set_stance("force_eager"):
        assert torch.equal(CudaFlux(flux)(*inputs), expected)


@needs_gpu
@torch.inference_mode()
@pytest.mark.parametrize("sides", [[6], [6, 4, 9], [46], [40, 32]])
def test_gpu_stays_within_its_tolerance(sides: list[int]) -> None:
    flux = make_flux("cuda")
    fast = CudaFlux(flux)
    for _ in range(3):  # recorded, then replayed with other numbers
        inputs = make_inputs(sides, "cuda")
        expected = flux(*inputs).float()
        error = (fast(*inputs).float() - expected).norm() / expected.norm()
        assert error < 2e-2
