"""The forms in which people have FLUX.1 on disk, written from a folder in diffusers' layout.

Each writer takes a checkpoint of `tests.tiny` and makes a new folder of it, with the networks in single
files named as Black Forest Labs, ComfyUI or city96's GGUF converter name their tensors. The numbers
stay the same, or are quantised; then `dequantised` makes the folder that they mean.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

State = dict[str, Tensor]

DIFFUSERS_FILE = "diffusion_pytorch_model.safetensors"

_EMBEDDERS = {"timestep": "time_in", "guidance": "guidance_in", "text": "vector_in"}
_LAYERS = {"linear_1": "in_layer", "linear_2": "out_layer"}
_DOUBLE = {
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
}
_NORMS = {
    "attn.norm_q": "img_attn.norm.query_norm",
    "attn.norm_k": "img_attn.norm.key_norm",
    "attn.norm_added_q": "txt_attn.norm.query_norm",
    "attn.norm_added_k": "txt_attn.norm.key_norm",
}
_QKV = {
    "img": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
}


def bfl_transformer(state: State) -> State:
    """A transformer's tensors from diffusers' names to BFL's."""
    bfl: State = {}
    for kind in ("weight", "bias"):
        bfl |= _bfl_stem(state, kind)
        for index in _blocks(state, "transformer_blocks"):
            old, new = f"transformer_blocks.{index}", f"double_blocks.{index}"
            for theirs, ours in _DOUBLE.items():
                bfl[f"{new}.{ours}.{kind}"] = state[f"{old}.{theirs}.{kind}"]
            for stream, names in _QKV.items():
                qkv = [state[f"{old}.{name}.{kind}"] for name in names]
                bfl[f"{new}.{stream}_attn.qkv.{kind}"] = torch.cat(qkv)
        for index in _blocks(state, "single_transformer_blocks"):
            old, new = f"single_transformer_blocks.{index}", f"single_blocks.{index}"
            names = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
            bfl[f"{new}.linear1.{kind}"] = torch.cat([state[f"{old}.{n}.{kind}"] for n in names])
            bfl[f"{new}.linear2.{kind}"] = state[f"{old}.proj_out.{kind}"]
            bfl[f"{new}.modulation.lin.{kind}"] = state[f"{old}.norm.linear.{kind}"]
    for name, tensor in state.items():
        block = re.fullmatch(r"(single_)?transformer_blocks\.(\d+)\.(attn\.norm_\w+)\.weight", name)
        if block:
            norm = _NORMS[block[3]]
            norm = norm.removeprefix("img_attn.") if block[1] else norm
            bfl[f"{'single' if block[1] else 'double'}_blocks.{block[2]}.{norm}.scale"] = tensor
    return bfl


def _bfl_stem(state: State, kind: str) -> State:
    scale, shift = state[f"norm_out.linear.{kind}"].chunk(2)
    bfl = {
        f"img_in.{kind}": state[f"x_embedder.{kind}"],
        f"txt_in.{kind}": state[f"context_embedder.{kind}"],
        f"final_layer.linear.{kind}": state[f"proj_out.{kind}"],
        f"final_layer.adaLN_modulation.1.{kind}": torch.cat([shift, scale]),
    }
    for theirs, ours in _EMBEDDERS.items():
        for layer, name in _LAYERS.items():
            source = f"time_text_embed.{theirs}_embedder.{layer}.{kind}"
            if source in state:
                bfl[f"{ours}.{name}.{kind}"] = state[source]
    return bfl


def _blocks(state: State, name: str) -> list[int]:
    return sorted({int(key.split(".")[1]) for key in state if key.startswith(f"{name}.")})


def bfl_autoencoder(state: State) -> State:
    """An autoencoder's tensors from diffusers' names to BFL's."""
    num_levels = 1 + max(int(name.split(".")[2]) for name in state if "up_blocks" in name)
    renames: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
        (r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2"),
        (r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample"),
        (
            r"up_blocks\.(\d+)\.resnets\.(\d+)",
            lambda match: f"up.{num_levels - 1 - int(match[1])}.block.{match[2]}",
        ),
        (
            r"up_blocks\.(\d+)\.upsamplers\.0",
            lambda match: f"up.{num_levels - 1 - int(match[1])}.upsample",
        ),
        (r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}"),
        (r"mid_block\.attentions\.0", "mid.attn_1"),
        (r"\.group_norm\.", ".norm."),
        (r"\.to_([qkv])\.", r".\1."),
        (r"\.to_out\.0\.", ".proj_out."),
        (r"conv_norm_out", "norm_out"),
        (r"conv_shortcut", "nin_shortcut"),
    ]
    bfl: State = {}
    for name, tensor in state.items():
        is_matrix = ".attentions." in name and tensor.ndim == 2
        new = name
        for pattern, replacement in renames:
            new = re.sub(pattern, replacement, new)
        bfl[new] = tensor[..., None, None] if is_matrix else tensor
    return bfl


def clip(folder: Path) -> State:
    """CLIP's tensors as a single file names them."""
    state = load_file(folder / "text_encoder/model.safetensors")
    return {f"text_model.{name}": tensor for name, tensor in state.items()}


def t5(folder: Path) -> State:
    """T5's tensors as a single file names them."""
    return load_file(folder / "text_encoder_2/model.safetensors")


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def transformer(folder: Path) -> State:
    """The transformer's tensors with BFL's names."""
    return bfl_transformer(load_file(folder / "transformer" / DIFFUSERS_FILE))


def autoencoder(folder: Path) -> State:
    """The autoencoder's tensors with BFL's names."""
    return bfl_autoencoder(load_file(folder / "vae" / DIFFUSERS_FILE))


def strip(folder: Path, target: Path, *parts: str) -> Path:
    """A copy of a folder without the weights of some parts; their configurations stay."""
    shutil.copytree(folder, target)
    for part in parts:
        for path in (target / part).glob("*.safetensors"):
            path.unlink()
    return target


def write_parts(folder: Path, target: Path) -> Path:
    """Every network in a file of its own, as people collect them; no index."""
    strip(folder, target, "transformer", "vae", "text_encoder", "text_encoder_2")
    (target / "model_index.json").unlink()
    save(target / "flux1-dev.safetensors", transformer(folder))
    save(target / "ae.safetensors", autoencoder(folder))
    save(target / "clip_l.safetensors", clip(folder))
    save(target / "t5xxl_fp16.safetensors", t5(folder))
    return target


def write_all_in_one(folder: Path, target: Path) -> Path:
    """One file for all, as ComfyUI writes it; tokenizers and configurations beside it."""
    strip(folder, target, "transformer", "vae", "text_encoder", "text_encoder_2")
    (target / "model_index.json").unlink()
    one = torch.ones(())
    state = {
        **prefixed("model.diffusion_model.", transformer(folder)),
        **prefixed("vae.", autoencoder(folder)),
        **prefixed("text_encoders.clip_l.transformer.", clip(folder)),
        **prefixed("text_encoders.t5xxl.transformer.", t5(folder)),
        "text_encoders.clip_l.transformer.text_projection.weight": torch.zeros(32, 32),
        "text_encoders.clip_l.logit_scale": one,
        "text_encoders.t5xxl.logit_scale": one.clone(),
    }
    save(target / "all.safetensors", state)
    return target / "all.safetensors"


def save(path: Path, state: State, **metadata: str) -> None:
    save_file({name: t.contiguous() for name, t in state.items()}, path, metadata=metadata)


def to_float8(state: State, spelling: str | None) -> State:
    """Every matrix in float8; `spelling` is how its scale is named, None for no scales at all.

    Biases become float8 too, without a scale, as in ComfyUI's files.
    """
    quantised: State = {}
    for name, tensor in state.items():
        if name.endswith(".scale"):
            quantised[name] = tensor
        elif spelling is None or tensor.ndim < 2:
            quantised[name] = tensor.to(torch.float8_e4m3fn)
        else:
            scale = tensor.abs().max() / 448
            quantised[name] = (tensor / scale).to(torch.float8_e4m3fn)
            layer = name.removesuffix(".weight")
            quantised[f"{layer}.{spelling}"] = scale
            activations = "scale_input" if spelling == "scale_weight" else "input_scale"
            quantised[f"{layer}.{activations}"] = torch.tensor(2.5)
    if spelling == "scale_weight":
        quantised["scaled_fp8"] = torch.zeros(0, dtype=torch.float8_e4m3fn)
    return quantised


def meant_by_float8(state: State) -> State:
    """The numbers that `to_float8` left."""
    meant: State = {}
    for name, tensor in state.items():
        layer = name.removesuffix(".weight")
        scales = [
            state[key] for key in (f"{layer}.scale_weight", f"{layer}.weight_scale") if key in state
        ]
        if name.endswith((".scale_weight", ".weight_scale", "scale_input", "input_scale", "fp8")):
            continue
        meant[name] = tensor.float() * (scales[0] if name.endswith(".weight") and scales else 1)
    return meant


def write_gguf(path: Path, state: State, kind_name: str) -> State:
    """A GGUF file as city96's converter and llama.cpp's quantiser write it; what its numbers mean.

    Matrices of the blocks are packed where a row is whole blocks; vectors are float32, the other
    matrices float16.
    """
    import gguf  # the other forms need no more than the project itself

    kind = gguf.GGMLQuantizationType[kind_name]
    writer = gguf.GGUFWriter(path=None, arch="flux")
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    numbers_of_a_block, _ = gguf.GGML_QUANT_SIZES[kind]
    meant: State = {}
    for name, tensor in state.items():
        data = tensor.float().numpy()
        is_chosen = numbers_of_a_block == 1 or "blocks" in name
        can_pack = is_chosen and data.shape[-1] % numbers_of_a_block == 0
        chosen = kind if can_pack else gguf.GGMLQuantizationType.F16
        chosen = chosen if data.ndim > 1 else gguf.GGMLQuantizationType.F32
        packed = gguf.quants.quantize(data, chosen)
        writer.add_tensor(name, packed, raw_dtype=chosen)
        meant[name] = torch.from_numpy(
            np.ascontiguousarray(gguf.quants.dequantize(packed, chosen), dtype=np.float32)
        ).view(tensor.shape)
    writer.write_header_to_file(path=path)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return meant


def llama_cpp_name(name: str) -> str:
    """The name that llama.cpp gives to a tensor of T5's encoder."""
    renames = {
        "shared": "token_embd",
        "encoder.final_layer_norm": "enc.output_norm",
        "encoder.block": "enc.blk",
        "layer.0.SelfAttention.relative_attention_bias": "attn_rel_b",
        "layer.0.SelfAttention.": "attn_",
        "layer.0.layer_norm": "attn_norm",
        "layer.1.layer_norm": "ffn_norm",
        "layer.1.DenseReluDense.wi_0": "ffn_gate",
        "layer.1.DenseReluDense.wi_1": "ffn_up",
        "layer.1.DenseReluDense.wo": "ffn_down",
    }
    for theirs, ours in renames.items():
        name = name.replace(theirs, ours)
    return name
