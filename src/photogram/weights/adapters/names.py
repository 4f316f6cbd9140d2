"""How trainers name the layers that their adapters change, and which layers of ours those are.

In: the transformer's numbers, or the name of a tensor. Out: a table of every layer that an adapter
may name, and of one name its layer and what of it the tensor is. It reads no file and imports no
torch. The names themselves are the base model's (`weights.keymap`), spelled in other ways.

Source: huggingface/peft utils/save_and_load.py and huggingface/diffusers loaders/lora_base.py; kohya-ss/
sd-scripts networks/lora_flux.py (``lora_unet_``, dots to underscores, BFL's names) and Nerogar/
OneTrainer (``lora_transformer_``, diffusers' names); XLabs-AI/x-flux src/flux/modules/layers.py (the
processors); ostris/ai-toolkit and Comfy-Org/ComfyUI comfy/lora.py (``diffusion_model.``).
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from photogram.model.params import FluxParams
from photogram.weights.keymap import Style, entries

Kind = Literal["down", "up", "bias", "alpha"]

_KINDS: Final[dict[str, Kind]] = {
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_B.bias": "bias",
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".down.weight": "down",
    ".up.weight": "up",
    ".alpha": "alpha",
}
"""End of a tensor's name -> what it is; of several, the first counts."""

_PREFIXES = (
    "base_model.model.",
    "transformer.",
    "model.diffusion_model.",
    "diffusion_model.",
)
_FLAT_PREFIXES = ("lora_unet_", "lora_transformer_")

_TEXT_ENCODERS = ("lora_te_", "lora_te1_", "lora_te2_", "lora_te3_", "text_encoder")

_PROCESSORS = {
    "img_attn.qkv": "processor.qkv_lora1",
    "img_attn.proj": "processor.proj_lora1",
    "txt_attn.qkv": "processor.qkv_lora2",
    "txt_attn.proj": "processor.proj_lora2",
    "qkv": "processor.qkv_lora",
    "linear2": "processor.proj_lora",
}
"""Our layer of a block -> XLabs' name of what changes it."""

_WORDS: Final[dict[Style, str]] = {"diffusers": "diffusers", "bfl": "Black Forest Labs"}

_SIGNS = {
    "dora_scale": "DoRA's, which also changes the length of weights",
    "lora_magnitude_vector": "DoRA's, which also changes the length of weights",
    "lokr_": "LoKr's, not LoRA's",
    "hada_": "LoHa's, not LoRA's",
    "oft_": "OFT's, not LoRA's",
    "_norm.scale": "a norm of its own, as only control adapters have",
    "double_stream_modulation": "FLUX.2's, not FLUX.1's",
    "distilled_guidance_layer": "Chroma's, not FLUX.1's",
    "down_blocks": "Stable Diffusion's, not FLUX.1's",
    "up_blocks": "Stable Diffusion's, not FLUX.1's",
    "mid_block": "Stable Diffusion's, not FLUX.1's",
    "input_blocks": "Stable Diffusion's, not FLUX.1's",
    "output_blocks": "Stable Diffusion's, not FLUX.1's",
    "middle_block": "Stable Diffusion's, not FLUX.1's",
    "joint_blocks": "Stable Diffusion's, not FLUX.1's",
}
"""What else people have -> what it is."""

_DIFFERENCES = (".diff", ".diff_b")


@dataclass(frozen=True, slots=True)
class Target:
    """Some outputs of one of our layers.

    Attributes:
        layer: Ours.
        begin: The first of its outputs.
        rows: Which of the named layer's outputs they are: the first, and the one after the last.
        swap_halves: Those two halves change places.
    """

    layer: str
    begin: int
    rows: tuple[int, int]
    swap_halves: bool = False


@dataclass(frozen=True, slots=True)
class NamedLayer:
    """A layer by the name that a trainer has for it.

    Attributes:
        naming: Whose names these are, for people.
        shape: Outputs and inputs.
        targets: Where its outputs are in ours.
    """

    naming: str
    shape: tuple[int, int]
    targets: tuple[Target, ...]


def named_layers(params: FluxParams) -> dict[str, NamedLayer]:
    """Every layer that an adapter of such a transformer may name, in every spelling."""
    layers: dict[str, NamedLayer] = {}
    for style in _WORDS:
        plain = _layers_of(params, style)
        flat = {
            prefix + name.replace(".", "_"): layer
            for name, layer in plain.items()
            for prefix in _FLAT_PREFIXES
        }
        layers |= {
            name: NamedLayer("kohya", layer.shape, layer.targets) for name, layer in flat.items()
        }
        layers |= plain
    return layers | _processors(params)


def split_name(name: str) -> tuple[str, Kind] | None:
    """A layer's name and what of it a tensor is; None if it is nothing of an adapter's."""
    for end, kind in _KINDS.items():
        if name.endswith(end):
            layer = name.removesuffix(end)
            for prefix in _PREFIXES:
                layer = layer.removeprefix(prefix)
            return layer, kind
    return None


def is_of_text_encoder(name: str) -> bool:
    """Whether a tensor changes a text encoder."""
    return name.startswith(_TEXT_ENCODERS)


def what_else(name: str) -> str | None:
    """What a tensor is that is not LoRA's for FLUX.1, where that can be told."""
    if name.endswith(_DIFFERENCES):
        return "the difference of a whole tensor, not of low rank"
    return next((owner for sign, owner in _SIGNS.items() if sign in name), None)


def _layers_of(params: FluxParams, style: Style) -> dict[str, NamedLayer]:
    shapes: dict[str, tuple[int, int]] = {}
    targets: dict[str, list[Target]] = {}
    for entry in entries(params, style):
        layer, _, kind = entry.name.rpartition(".")
        if kind != "weight":
            continue
        begin = 0
        for source in entry.sources:
            name = source.name.removesuffix(".weight")
            num_rows, num_columns = source.shape
            rows = source.rows or (0, num_rows)
            shapes[name] = (num_rows, num_columns)
            targets.setdefault(name, []).append(Target(layer, begin, rows, entry.swap_halves))
            begin += rows[1] - rows[0]
    return {
        name: NamedLayer(_WORDS[style], shape, tuple(targets[name]))
        for name, shape in shapes.items()
    }


def _processors(params: FluxParams) -> dict[str, NamedLayer]:
    """XLabs names what changes attention, and of a single block's first layer a part of its own."""
    layers = {}
    for entry in entries(params):
        match = re.fullmatch(r"((?:double|single)_blocks\.\d+)\.(.+)\.weight", entry.name)
        if match and match[2] in _PROCESSORS:
            rows, columns = entry.shape
            target = Target(f"{match[1]}.{match[2]}", 0, (0, rows))
            layers[f"{match[1]}.{_PROCESSORS[match[2]]}"] = NamedLayer(
                "XLabs", (rows, columns), (target,)
            )
    return layers
