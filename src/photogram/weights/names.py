"""Whose tensors a file holds: its names sorted by the network that they belong to.

In: the headers of one file. Out: for every network of FLUX.1 in it, the style of its names and its
tensors, without prefixes, and with every scale at its weight. A tensor that belongs to none of them
is refused. It reads no file.

Source: the names that black-forest-labs/flux, huggingface/diffusers and transformers, Comfy-Org/ComfyUI
(comfy/supported_models.py `Flux`, comfy/utils.py `convert_old_quants`) and city96/ComfyUI-GGUF
(tools/convert.py) write.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from photogram.core.errors import CheckpointError
from photogram.weights.files.header import TensorHeader
from photogram.weights.texts import rename_t5

Style = Literal["diffusers", "bfl", "transformers"]
Tensors = dict[str, TensorHeader]

PARTS: Final = {
    "transformer": "a FLUX.1 transformer",
    "vae": "an autoencoder",
    "text_encoder": "a CLIP text encoder",
    "text_encoder_2": "a T5 text encoder",
}
"""The networks by the names of their folders -> what they are."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """A tensor by which a network is recognised, and the prefixes that it may have.

    Attributes:
        rename: From the file's names to those of `style`.
    """

    part: str
    style: Style
    name: str
    prefixes: tuple[str, ...]
    rename: Callable[[Tensors], Tensors] | None = None


_TRANSFORMER = ("model.diffusion_model.", "diffusion_model.", "transformer.", "")
_VAE = ("vae.", "first_stage_model.", "")
_CLIP = ("text_encoders.clip_l.transformer.", "")
_T5 = ("text_encoders.t5xxl.transformer.", "")

_MARKS = (
    _Mark("transformer", "bfl", "double_blocks.0.img_attn.qkv.weight", _TRANSFORMER),
    _Mark("transformer", "diffusers", "transformer_blocks.0.attn.to_q.weight", _TRANSFORMER),
    _Mark("vae", "bfl", "decoder.mid.block_1.conv1.weight", _VAE),
    _Mark("vae", "diffusers", "decoder.mid_block.resnets.0.conv1.weight", _VAE),
    _Mark("text_encoder", "transformers", "text_model.final_layer_norm.weight", _CLIP),
    _Mark("text_encoder_2", "transformers", "encoder.final_layer_norm.weight", _T5),
    _Mark("text_encoder_2", "transformers", "enc.output_norm.weight", _T5, rename_t5),
)

_UNUSED = (
    "logit_scale",
    "text_projection.weight",
    "position_ids",
    "scaled_fp8",
    ".comfy_quant",
    ".scale_input",
    ".input_scale",
)
"""Ends of names that change no picture: CLIP's way to compare texts with pictures, positions that are
counted anyway, marks of a quantisation that its types show too, and the sizes of activations, which
are found at every step."""

_SCALES = (".scale_weight", ".weight_scale")
_SCALE_TYPES = ("F32", "BF16", "F16")

_SPELLINGS = {
    ".query_norm.weight": ".query_norm.scale",
    ".key_norm.weight": ".key_norm.scale",
}

_STRANGERS = {
    "distilled_guidance_layer": "Chroma's, not FLUX.1's",
    "double_stream_modulation": "FLUX.2's, not FLUX.1's",
    "bitsandbytes": "quantised by bitsandbytes, which is not supported",
    ".absmax": "quantised by bitsandbytes, which is not supported",
    "lora_": "an adapter's (LoRA), not a model's",
    "input_blocks.": "Stable Diffusion's, not FLUX.1's",
    "joint_blocks.": "Stable Diffusion's, not FLUX.1's",
}
"""What else people have -> what it is."""


@dataclass(frozen=True, slots=True)
class Named:
    """The tensors of one network, by their names within it."""

    style: Style
    tensors: Tensors


def sort_tensors(path: Path, tensors: Tensors) -> dict[str, Named]:
    """The networks of a file.

    Raises:
        CheckpointError: A tensor that is none's, or a scale without its weight.
    """
    remaining = {name: tensor for name, tensor in tensors.items() if not name.endswith(_UNUSED)}
    found: dict[str, Named] = {}
    pairs = [(mark, prefix) for mark in _MARKS for prefix in mark.prefixes]
    # a network without a prefix takes all that the others leave
    for mark, prefix in sorted(pairs, key=lambda pair: pair[1] == ""):
        if mark.part in found or prefix + mark.name not in remaining:
            continue
        own = {name: remaining.pop(name) for name in list(remaining) if name.startswith(prefix)}
        plain = {name.removeprefix(prefix): tensor for name, tensor in own.items()}
        renamed = mark.rename(plain) if mark.rename else plain
        found[mark.part] = Named(mark.style, tidy(renamed))
    for name in remaining:
        _refuse_stranger(path, name)
        raise CheckpointError(f"{path}: {name} is not a tensor of FLUX.1")
    return found


def tidy(tensors: Tensors) -> Tensors:
    """The tensors in one spelling, without what is not used, every scale at its weight.

    Raises:
        CheckpointError: Another model's tensor, a scale without its weight, or one of a shape that
            says nothing about rows.
    """
    tidied = {
        _spell(name): tensor
        for name, tensor in tensors.items()
        if not name.endswith((*_UNUSED, *_SCALES))
    }
    for name, tensor in tensors.items():
        _refuse_stranger(tensor.file, name)
        ending = next((each for each in _SCALES if name.endswith(each)), None)
        if ending is not None:
            weight_name = name.removesuffix(ending) + ".weight"
            tidied[weight_name] = _scaled(tidied.get(weight_name), tensor)
    return tidied


def _scaled(weight: TensorHeader | None, scale: TensorHeader) -> TensorHeader:
    if weight is None:
        raise CheckpointError(f"{scale.file}: {scale.name} scales no tensor of the file")
    counts = {1, *weight.shape[:1]}
    if scale.num_elements not in counts or scale.dtype not in _SCALE_TYPES:
        raise CheckpointError(
            f"{scale.file}: {scale.name} is of type {scale.dtype} and shape {list(scale.shape)}; "
            "it must be one number, or one for each row"
        )
    return replace(weight, scale=scale)


def _spell(name: str) -> str:
    for theirs, ours in _SPELLINGS.items():
        if name.endswith(theirs):
            return name.removesuffix(theirs) + ours
    return name


def _refuse_stranger(path: Path, name: str) -> None:
    for sign, owner in _STRANGERS.items():
        if sign in name:
            raise CheckpointError(f"{path}: {name} is {owner}")
