import dataclasses
import weakref
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from photogram.model import packed
from photogram.model.attention import Packing
from photogram.model.decoder import NUMBERS_AT_ONCE, Decoder, DecoderParams
from photogram.model.float8 import Float8Linear
from photogram.model.packed import INT8, NF4, PackedLinear
from photogram.model.rope import rope
from photogram.model.transformer import Flux
from photogram.sampling.latents import position_ids
from photogram.weights.files.header import PACKED as PACKED_TYPES
from photogram.weights.packing import Precision, is_modulation
from photogram.weights.plan import GIB, choose_plan, least_plan, make_plan
from photogram.weights.sizes import (
    FLUX_DEV,
    STRIP_NUMBERS,
    decode_bytes,
    num_tokens,
    token_bytes,
    transformer_bytes,
    unpacking_bytes,
)

PRECISIONS: list[Precision] = ["bfloat16", "float8_e4m3fn", "int8", "nf4"]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def flux_on_meta(precision: Precision, **shrink: int) -> Flux:
    params = dataclasses.replace(FLUX_DEV.transformer, **shrink)
    with torch.device("meta"):
        flux = Flux(params).to(torch.bfloat16)
    if precision == "float8_e4m3fn":
        flux.replace(lambda layer: Float8Linear(layer, torch.device("meta")))
    return flux


@pytest.mark.parametrize("precision", ["bfloat16", "float8_e4m3fn"])
def test_transformers_bytes_are_those_of_its_tensors(precision: Precision) -> None:
    flux = flux_on_meta(precision)
    sizes = {name: tensor.nbytes for name, tensor in flux.state_dict().items()}
    modulation = sum(size for name, size in sizes.items() if is_modulation(name))
    core = sum(sizes.values()) - modulation
    assert transformer_bytes(flux.params, precision) == (core, modulation)
    assert 0.27 < modulation / (transformer_bytes(flux.params, "bfloat16")[0] + modulation) < 0.28


def test_sizes_of_the_other_networks_are_theirs() -> None:
    with torch.device("meta"):
        t5 = T5EncoderModel(
            T5Config(
                vocab_size=32128,
                d_model=4096,
                d_kv=64,
                d_ff=10240,
                num_layers=24,
                num_heads=64,
                feed_forward_proj="gated-gelu",
            )
        )
        clip = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408,
                hidden_size=768,
                intermediate_size=3072,
                num_hidden_layers=12,
                num_attention_heads=12,
            )
        )
        vae = AutoencoderKL(
            block_out_channels=FLUX_DEV.vae_channels,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=16,
            layers_per_block=2,
            use_quant_conv=False,
            use_post_quant_conv=False,
        )
    assert count(t5) + count(clip) == FLUX_DEV.text_parameters
    assert count(vae) == FLUX_DEV.vae_parameters


@pytest.mark.parametrize("precision", PRECISIONS)
def test_larger_devices_hold_more(precision: Precision) -> None:
    plans = [choose_plan(FLUX_DEV, precision, gib * GIB) for gib in (4, 16, 24, 48, 80)]
    assert plans[0] is None
    weights = [0 if plan is None else plan.weight_bytes for plan in plans]
    assert weights == sorted(weights)
    for gib, plan in zip((4, 16, 24, 48, 80), plans, strict=True):
        assert plan is None or plan.peak_bytes <= gib * GIB
    whole, everything = plans[-1], make_plan(FLUX_DEV, precision)
    assert whole is not None
    assert dataclasses.replace(whole, most_tokens=everything.most_tokens) == everything


def test_steps_are_shared_as_far_as_the_memory_goes() -> None:
    least = least_plan(FLUX_DEV, "int8", is_host=True)
    assert least.most_tokens == num_tokens(FLUX_DEV)
    more = 1000 * token_bytes(FLUX_DEV, "int8")
    plan = choose_plan(FLUX_DEV, "int8", least.peak_bytes + more, is_host=True)
    assert plan is not None
    assert plan.most_tokens == least.most_tokens + 1000


def test_bfloat16_needs_24_gib_and_eight_bits_16() -> None:
    assert choose_plan(FLUX_DEV, "bfloat16", 16 * GIB) is None
    assert choose_plan(FLUX_DEV, "bfloat16", 24 * GIB) is not None
    assert choose_plan(FLUX_DEV, "float8_e4m3fn", 16 * GIB) is not None
    assert choose_plan(FLUX_DEV, "int8", 16 * GIB) is not None
    assert choose_plan(FLUX_DEV, "nf4", 12 * GIB) is not None


def test_nf4_fits_a_host_of_16_gib() -> None:
    assert choose_plan(FLUX_DEV, "nf4", 16 * GIB, is_host=True) is not None
    assert choose_plan(FLUX_DEV, "int8", 16 * GIB, is_host=True) is None
    assert choose_plan(FLUX_DEV, "int8", 24 * GIB, is_host=True) is not None


PACKED = dataclasses.replace(FLUX_DEV, packed_bytes=(5 * GIB, 2 * GIB))
"""FLUX.1 [dev] from a file of about five bits a number."""


@pytest.mark.parametrize(
    ("gib", "is_packed", "has_text", "has_modulation"),
    [
        (80, False, True, True),
        (36, False, True, True),
        (32, False, True, False),
        (24, True, True, True),
        (20, True, True, True),
        (18, True, True, False),
        (12, True, False, False),
    ],
)
def test_weights_stay_packed_where_there_is_no_room_for_more(
    gib: int, is_packed: bool, has_text: bool, has_modulation: bool
) -> None:
    plan = choose_plan(PACKED, "bfloat16", gib * GIB)
    assert plan is not None
    assert plan.peak_bytes <= gib * GIB
    assert (plan.is_packed, plan.has_text, plan.has_modulation) == (
        is_packed,
        has_text,
        has_modulation,
    )


def test_least_plan_is_the_smallest() -> None:
    for shapes in (FLUX_DEV, PACKED):
        least = least_plan(shapes, "bfloat16").peak_bytes
        assert choose_plan(shapes, "bfloat16", least) is not None
        assert choose_plan(shapes, "bfloat16", least - 1) is None
    assert not least_plan(PACKED, "float8_e4m3fn").is_packed


def test_weights_on_a_cpu_are_counted() -> None:
    num_parameters = 11_901_408_320 + FLUX_DEV.text_parameters + FLUX_DEV.vae_parameters
    assert make_plan(FLUX_DEV, "float32", is_host=True).weight_bytes == 4 * num_parameters
    others = FLUX_DEV.text_parameters + FLUX_DEV.vae_parameters
    packed_plan = choose_plan(PACKED, "bfloat16", 80 * GIB, is_host=True)
    assert packed_plan is not None
    assert packed_plan.weight_bytes == 7 * GIB + 2 * others


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that were made and not yet freed."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._seen:
                    self._seen.add(storage._cdata)
                    self.live += storage.nbytes()
                    self.peak = max(self.peak, self.live)
                    weakref.finalize(storage, self._drop, storage._cdata, storage.nbytes())
        return out

    def _drop(self, key: int, size_bytes: int) -> None:
        self._seen.discard(key)
        self.live -= size_bytes


def random_weights(module: nn.Module) -> nn.Module:
    for parameter in module.to(torch.bfloat16).requires_grad_(requires_grad=False).parameters():
        parameter.normal_(0, 0.02)
    return module


def test_a_step_holds_no_more_than_planned() -> None:
    side, text = 32, 128
    params = dataclasses.replace(
        FLUX_DEV.transformer, hidden_size=256, num_heads=2, depth=1, depth_single_blocks=2
    )
    shapes = dataclasses.replace(
        FLUX_DEV, transformer=params, text_tokens=text, pixels=(16 * side) ** 2
    )
    flux = random_weights(Flux(params))
    inputs = (
        torch.randn(side * side, params.in_channels, dtype=torch.bfloat16),
        torch.randn(text, params.context_in_dim, dtype=torch.bfloat16),
        [rope(position_ids(side, side, text), params.axes_dim)],
        [torch.randn(params.num_modulations, params.hidden_size, dtype=torch.bfloat16)],
        Packing((side * side,), (text,)),
    )
    with LiveBytes() as memory:
        flux(*inputs)
    planned = num_tokens(shapes) * token_bytes(shapes, "bfloat16")
    assert planned / 3 < memory.peak <= planned


@pytest.mark.parametrize(("channels", "side"), [((16, 32, 64, 64), 256), ((16, 32, 16, 16), 768)])
def test_decoding_holds_no_more_than_planned(channels: tuple[int, ...], side: int) -> None:
    """The second is decoded in strips."""
    assert STRIP_NUMBERS == NUMBERS_AT_ONCE
    decoder = random_weights(Decoder(DecoderParams(16, channels, 1, 4, has_attention=False)))
    shapes = dataclasses.replace(FLUX_DEV, vae_channels=channels, pixels=side**2)
    latents = torch.randn(1, 16, side // 8, side // 8, dtype=torch.bfloat16)
    with LiveBytes() as memory:
        decoder(latents.to(memory_format=torch.channels_last))
    planned = decode_bytes(shapes, "bfloat16")
    assert planned / 3 < memory.peak <= planned


@pytest.mark.parametrize("kind", [*PACKED_TYPES, "F8_E4M3", INT8, NF4])
def test_unpacking_holds_no_more_than_planned(kind: str) -> None:
    params = dataclasses.replace(
        FLUX_DEV.transformer,
        hidden_size=256,
        num_heads=2,
        depth=1,
        depth_single_blocks=1,
        context_in_dim=256,
    )
    largest = PackedLinear(kind, 256, 6 * 256)
    with LiveBytes() as memory:
        packed._unpack(largest.weight, kind).to(torch.bfloat16)  # as on a GPU, all at once
    assert unpacking_bytes(params) / 2 < memory.peak <= unpacking_bytes(params)
