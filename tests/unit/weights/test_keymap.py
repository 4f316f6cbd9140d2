"""The tables of names, at the size of the 12B checkpoints, beside their authors' and diffusers' own."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from diffusers.loaders.single_file_utils import (
    convert_flux_transformer_checkpoint_to_diffusers,
    convert_ldm_vae_checkpoint,
)
from torch import Tensor

from photogram.model.transformer import Flux
from photogram.weights import autoencoder, keymap
from photogram.weights.components import read_autoencoder
from photogram.weights.published import published_config
from photogram.weights.sizes import FLUX_DEV

DEV = FLUX_DEV.transformer
SCHNELL = dataclasses.replace(DEV, guidance_embed=False)
MODELS = {"dev": DEV, "schnell": SCHNELL}
NUM_PARAMETERS = {"dev": 11_901_408_320, "schnell": 11_891_178_560}
NUM_TENSORS = {"dev": 780, "schnell": 776}
SIZE, HEAD, WIDE = 3072, 128, 12288

Shapes = dict[str, tuple[int, ...]]


def bfl_transformer(*, has_guidance: bool) -> Shapes:
    """The modules of `Flux` in black-forest-labs/flux, with the numbers of its `configs`."""
    layers = {"img_in": (SIZE, 64), "txt_in": (SIZE, 4096), "final_layer.linear": (64, SIZE)}
    layers["final_layer.adaLN_modulation.1"] = (2 * SIZE, SIZE)
    embedders = {"time_in": 256, "vector_in": 768} | ({"guidance_in": 256} if has_guidance else {})
    for name, width in embedders.items():
        layers |= {f"{name}.in_layer": (SIZE, width), f"{name}.out_layer": (SIZE, SIZE)}
    norms = []
    for index in range(19):
        for stream in ("img", "txt"):
            block = f"double_blocks.{index}.{stream}"
            layers |= {
                f"{block}_mod.lin": (6 * SIZE, SIZE),
                f"{block}_attn.qkv": (3 * SIZE, SIZE),
                f"{block}_attn.proj": (SIZE, SIZE),
                f"{block}_mlp.0": (WIDE, SIZE),
                f"{block}_mlp.2": (SIZE, WIDE),
            }
            norms.append(f"{block}_attn.norm")
    for index in range(38):
        block = f"single_blocks.{index}"
        layers |= {
            f"{block}.linear1": (3 * SIZE + WIDE, SIZE),
            f"{block}.linear2": (SIZE, SIZE + WIDE),
            f"{block}.modulation.lin": (3 * SIZE, SIZE),
        }
        norms.append(f"{block}.norm")
    shapes: Shapes = {f"{name}.weight": shape for name, shape in layers.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in layers.items()}
    for norm in norms:
        shapes |= {f"{norm}.query_norm.scale": (HEAD,), f"{norm}.key_norm.scale": (HEAD,)}
    return shapes


def count(shapes: Shapes) -> int:
    return sum(int(torch.Size(shape).numel()) for shape in shapes.values())


@pytest.mark.parametrize("model", MODELS)
def test_every_tensor_of_bfls_12b_is_taken_whole_and_once(model: str) -> None:
    published = bfl_transformer(has_guidance=model == "dev")
    assert (len(published), count(published)) == (NUM_TENSORS[model], NUM_PARAMETERS[model])
    table = list(keymap.entries(MODELS[model], "bfl"))
    sources = [source for entry in table for source in entry.sources]
    assert {source.name: source.shape for source in sources} == published
    taken = {name: [] for name in published}
    for source in sources:
        taken[source.name].append(source.rows or (0, source.shape[0]))
    for name, rows in taken.items():
        ends = [0, *(end for _, end in sorted(rows))]
        assert [begin for begin, _ in sorted(rows)] == ends[:-1], name
        assert ends[-1] == published[name][0], name
    with torch.device("meta"):
        ours = Flux(MODELS[model]).state_dict()
    assert {e.name: e.shape for e in table} == {name: tuple(t.shape) for name, t in ours.items()}


def tagged(shapes: Shapes) -> dict[str, Tensor]:
    """Tensors of one column, or none, in which every row of every tensor has a number of its own."""
    state: dict[str, Tensor] = {}
    first = 0
    for name, shape in shapes.items():
        rows = torch.arange(first, first + shape[0], dtype=torch.int32)
        state[name] = rows if len(shape) == 1 else rows[:, None]
        first += shape[0]
    return state


def assembled(entries: Iterator[keymap.Entry], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our parameters out of tagged tensors."""
    ours = {}
    for entry in entries:
        parts = [
            state[source.name] if source.rows is None else state[source.name][slice(*source.rows)]
            for source in entry.sources
        ]
        parts = list(reversed(parts[0].chunk(2))) if entry.swap_halves else parts
        ours[entry.name] = torch.cat(parts).flatten()
    return ours


@pytest.mark.parametrize("model", MODELS)
def test_rows_of_bfls_12b_go_where_diffusers_converter_puts_them(model: str) -> None:
    params = MODELS[model]
    bfl = tagged(bfl_transformer(has_guidance=params.guidance_embed))
    # the converter cuts rows alone, so a column says as much as thousands
    diffusers = convert_flux_transformer_checkpoint_to_diffusers(dict(bfl))
    ours = assembled(keymap.entries(params, "bfl"), bfl)
    theirs = assembled(keymap.entries(params, "diffusers"), diffusers)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    with torch.device("meta"):
        config = {"guidance_embeds": params.guidance_embed}
        real = FluxTransformer2DModel.from_config(config).state_dict()
    assert diffusers.keys() == real.keys()


def published_autoencoder() -> tuple[dict[str, Any], list[keymap.Entry]]:
    config = published_config("vae", Path("ae.safetensors"))
    return config.values, list(autoencoder.entries(read_autoencoder(config), "bfl"))


def test_every_tensor_of_the_autoencoder_goes_where_diffusers_puts_it() -> None:
    values, table = published_autoencoder()
    with torch.device("meta"):
        real = AutoencoderKL.from_config(values).state_dict()
    assert {e.name: e.shape for e in table} == {name: tuple(t.shape) for name, t in real.items()}
    sources = {entry.sources[0].name: entry.sources[0].shape for entry in table}
    assert (len(sources), count(sources)) == (len(table), 83_819_683) == (244, 83_819_683)
    state = {name: torch.empty(shape, device="meta") for name, shape in sources.items()}
    converted = convert_ldm_vae_checkpoint(dict(state), values)
    assert converted.keys() == real.keys()
    tags = {name: torch.full((), float(index)) for index, name in enumerate(sources)}
    tags = {name: tag.expand(sources[name]) for name, tag in tags.items()}
    converted = convert_ldm_vae_checkpoint(dict(tags), values)
    for entry in table:
        source = tags[entry.sources[0].name]
        assert converted[entry.name].flatten()[0] == source.flatten()[0], entry.name


def test_bfls_autoencoder_has_the_names_of_its_module() -> None:
    """The patterns of `AutoEncoder` in black-forest-labs/flux: 3 levels down and up, and a middle."""
    _, table = published_autoencoder()
    resnet = r"(norm1|conv1|norm2|conv2|nin_shortcut)"
    patterns = [
        rf"encoder\.down\.[0-3]\.block\.[01]\.{resnet}",
        r"encoder\.down\.[0-2]\.downsample\.conv",
        rf"decoder\.up\.[0-3]\.block\.[0-2]\.{resnet}",
        r"decoder\.up\.[1-3]\.upsample\.conv",
        rf"(en|de)coder\.mid\.block_[12]\.{resnet}",
        r"(en|de)coder\.mid\.attn_1\.(norm|q|k|v|proj_out)",
        r"(en|de)coder\.(conv_in|norm_out|conv_out)",
    ]
    for entry in table:
        name = entry.sources[0].name
        assert any(re.fullmatch(rf"{p}\.(weight|bias)", name) for p in patterns), name
