"""The transformer equals diffusers' on the same random weights, alone and packed."""

import dataclasses
from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor

from photogram.model.attention import Packing
from photogram.model.rope import rope
from photogram.model.transformer import Flux
from photogram.sampling.latents import position_ids
from photogram.weights.load import load_transformer
from photogram.weights.locate import inspect
from tests.tiny import write_checkpoint

TOLERANCE = 1e-5
CONFIGURATIONS = [
    {"guidance_embeds": True, "num_heads": 2, "axes_dims_rope": (4, 4, 8)},
    {"guidance_embeds": False, "num_heads": 1, "axes_dims_rope": (8, 12, 12)},
    {"guidance_embeds": True, "num_heads": 3, "num_layers": 2, "num_single_layers": 3},
    {"guidance_embeds": False, "num_heads": 4, "num_layers": 3, "num_single_layers": 1},
    {"guidance_embeds": True, "num_heads": 4, "axes_dims_rope": (16, 24, 24)},
    {"guidance_embeds": False, "num_layers": 0, "num_single_layers": 2},
    {"guidance_embeds": True, "num_layers": 2, "num_single_layers": 0},
    {"guidance_embeds": True, "num_heads": 2, "axes_dims_rope": (16, 56, 56)},
    {"guidance_embeds": True, "latent_channels": 16, "axes_dims_rope": (2, 6, 8)},
    {"guidance_embeds": False, "latent_channels": 8, "num_heads": 5, "num_layers": 2},
]


@dataclasses.dataclass(frozen=True)
class Case:
    """One request's inputs to both networks."""

    rows: int
    columns: int
    img: Tensor
    txt: Tensor
    vec: Tensor
    timestep: Tensor
    guidance: Tensor | None


def make_case(model: FluxTransformer2DModel, rows: int, columns: int, length: int) -> Case:
    config = model.config
    return Case(
        rows=rows,
        columns=columns,
        img=torch.randn(rows * columns, config.in_channels),
        txt=torch.randn(length, config.joint_attention_dim),
        vec=torch.randn(1, config.pooled_projection_dim),
        timestep=torch.rand(1),
        guidance=torch.rand(1) * 10 if config.guidance_embeds else None,
    )


def run_theirs(model: FluxTransformer2DModel, case: Case) -> Tensor:
    ids = position_ids(case.rows, case.columns, len(case.txt)).float()
    return model(
        hidden_states=case.img[None],
        encoder_hidden_states=case.txt[None],
        pooled_projections=case.vec,
        timestep=case.timestep,
        img_ids=ids[len(case.txt) :],
        txt_ids=ids[: len(case.txt)],
        guidance=case.guidance,
        return_dict=False,
    )[0][0]


def run_ours(model: Flux, cases: list[Case]) -> tuple[Tensor, ...]:
    packing = Packing(tuple(len(c.img) for c in cases), tuple(len(c.txt) for c in cases))
    ids = [position_ids(c.rows, c.columns, len(c.txt)) for c in cases]
    velocity = model(
        torch.cat([c.img for c in cases]),
        torch.cat([c.txt for c in cases]),
        [rope(i, model.params.axes_dim) for i in ids],
        [model.modulate(c.timestep, c.guidance, c.vec)[0] for c in cases],
        packing,
    )
    return velocity.split(packing.img)


@pytest.mark.parametrize("options", CONFIGURATIONS)
def test_velocity_equals_diffusers_alone_and_packed(
    tmp_path: Path, options: dict[str, object]
) -> None:
    folder = write_checkpoint(tmp_path, seed=CONFIGURATIONS.index(options), **options)
    theirs = FluxTransformer2DModel.from_pretrained(folder / "transformer")
    ours = load_transformer(inspect(folder), torch.device("cpu"), torch.float32)
    cases = [make_case(theirs, *shape) for shape in ((4, 4, 12), (2, 7, 5), (9, 3, 33))]
    with torch.inference_mode():
        expected = [run_theirs(theirs, case) for case in cases]
        alone = [run_ours(ours, [case])[0] for case in cases]
        packed = run_ours(ours, cases)
    difference = max((a - b).abs().max().item() for a, b in zip(alone, expected, strict=True))
    scale = torch.cat(expected).square().mean().sqrt().item()
    assert difference < TOLERANCE, f"{difference:.1e} on outputs of rms {scale:.2f}"
    assert 0.1 < scale < 10
    assert all(torch.equal(a, b) for a, b in zip(alone, packed, strict=True))
