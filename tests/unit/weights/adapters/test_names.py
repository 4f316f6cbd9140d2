"""Names of the common trainers mean what diffusers' own converters say, at the size of FLUX.1 [dev]."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers.loaders import lora_conversion_utils as convert
from torch import Tensor

from photogram.model.adapters import Scaled, add_updates
from photogram.model.linear import Linear
from photogram.model.transformer import Flux
from photogram.weights.adapters.describe import describe_adapter
from photogram.weights.adapters.load import load_adapter
from tests import adapters
from tests.adapters import State

RANK = 2  # of which kohya's converter does not think that it is three adapters in one
STEM = ("time_in", "vector_in", "guidance_in", "img_in", "txt_in", "adaLN")


def random(model: Flux, naming: str, prefix: str = "") -> State:
    shapes = adapters.layer_shapes(model.params, naming)
    shapes = {
        name: shape
        for name, shape in shapes.items()
        if not name.startswith(("lora_unet", "lora_t"))
    }
    return adapters.random_lora(shapes, RANK, prefix=prefix)


def bfl(model: Flux) -> State:
    return random(model, "Black Forest Labs")


def bfl_control(model: Flux) -> State:
    """Their converter is for adapters that have norms besides."""
    norms: State = {}
    for index in range(model.params.depth):
        for stream in ("img", "txt"):
            for each in ("query", "key"):
                name = f"double_blocks.{index}.{stream}_attn.norm.{each}_norm.scale"
                norms[name] = torch.ones(1)
    for index in range(model.params.depth_single_blocks):
        for each in ("query", "key"):
            norms[f"single_blocks.{index}.norm.{each}_norm.scale"] = torch.ones(1)
    return bfl(model) | norms


def kontext(model: Flux) -> State:
    state = random(model, "Black Forest Labs", prefix="base_model.model.")
    return adapters.without(state, *STEM)


def ends_of(state: State) -> State:
    """Some blocks are enough where their converter does not ask for all."""
    ends = re.compile(
        r"double_blocks\.18\.|(single_|transformer_|\b)blocks\.0\.|single_blocks\.37\."
    )
    return {name: t for name, t in state.items() if "blocks" not in name or ends.search(name)}


def sd_scripts(model: Flux) -> State:
    """Their converter forgets the alphas of the last layer."""
    state = ends_of(bfl(model))
    blocks = adapters.without(state, "final_layer")
    last = {name: tensor for name, tensor in state.items() if "final_layer" in name}
    return adapters.kohya(blocks, alpha=1.0) | adapters.kohya(last)


def comfyui(model: Flux) -> State:
    state = random(model, "Black Forest Labs", prefix="diffusion_model.")
    return {
        name.replace("lora_A", "lora_down").replace("lora_B", "lora_up"): tensor
        for name, tensor in ends_of(state).items()
        if not any(part in name for part in STEM)
    }


def onetrainer(model: Flux) -> State:
    state = random(model, "diffusers")
    own = {
        name: tensor
        for name, tensor in ends_of(state).items()
        if any(part in name for part in ("attn", "embedder", "norm_out"))
        or name.startswith("proj_out")
    }
    return adapters.kohya(own, prefix="lora_transformer_", alpha=3.0)


def kohya_to_diffusers(state: State) -> State:
    converted = convert._convert_kohya_flux_lora_to_diffusers(dict(state))
    return {
        name if name.startswith("transformer.") else f"transformer.{name}": tensor
        for name, tensor in converted.items()
    }


def bfl_to_diffusers(state: State) -> State:
    """Their converter swaps the last modulation's halves in the wrong matrix too: that is undone."""
    converted: State = convert._convert_bfl_flux_control_lora_to_diffusers(dict(state))
    down = "transformer.norm_out.linear.lora_A.weight"
    converted[down] = convert.swap_scale_shift(converted[down])
    return adapters.without(converted, ".norm_q.", ".norm_k.", ".norm_added_")


def changes(path: Path, model: Flux) -> dict[str, Tensor]:
    """What a file adds to each layer's product with the same input."""
    file = describe_adapter(path, model.params)
    adapter = load_adapter(file, model, torch.device("cpu"), torch.float32)
    generator = torch.Generator().manual_seed(1)
    added = {}
    for name, layer in model.named_modules():
        if isinstance(layer, Linear) and layer in adapter.updates:
            rows, columns = layer.weight.shape
            x = torch.randn(2, columns, generator=generator)
            added[name] = add_updates(torch.zeros(2, rows), x, layer, (Scaled(adapter, 1.0),))
    return added


@pytest.mark.parametrize(
    ("write", "to_diffusers"),
    [
        (bfl, None),
        (kontext, convert._convert_fal_kontext_lora_to_diffusers),
        (sd_scripts, kohya_to_diffusers),
        (comfyui, kohya_to_diffusers),
        (onetrainer, kohya_to_diffusers),
    ],
)
def test_names_mean_what_diffusers_says(
    flux_dev: Flux,
    tmp_path: Path,
    write: Callable[[Flux], State],
    to_diffusers: Callable[[State], State] | None,
) -> None:
    state = write(flux_dev)
    if to_diffusers is None:
        converted = bfl_to_diffusers(bfl_control(flux_dev))
    else:
        converted = to_diffusers(dict(state))
    found = changes(adapters.save(tmp_path / "theirs.safetensors", state), flux_dev)
    expected = changes(adapters.save(tmp_path / "diffusers.safetensors", converted), flux_dev)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert tensor.abs().max() > 0.1
        assert torch.allclose(found[name], tensor, rtol=1e-4, atol=1e-5), name
