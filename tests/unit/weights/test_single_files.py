"""FLUX.1 in single files, at its full size: what each form is taken for, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from photogram.core.errors import CheckpointError
from photogram.weights.locate import Checkpoint, inspect
from photogram.weights.parts import find_parts
from photogram.weights.plan import GIB, choose_plan
from photogram.weights.published import published_config
from photogram.weights.sizes import FLUX_DEV, shapes_of
from tests.unit.weights.holes import Shape, Tensors, of_type, write_gguf, write_safetensors
from tests.unit.weights.test_keymap import bfl_transformer, published_autoencoder

NUM_TRANSFORMER, NUM_AUTOENCODER = 11_901_408_320, 83_819_683
NUM_CLIP, NUM_T5 = 123_060_480, 4_762_310_656


def transformer(dtype: str = "BF16", *, has_guidance: bool = True) -> Tensors:
    return of_type(dtype, bfl_transformer(has_guidance=has_guidance))


def autoencoder() -> Tensors:
    _, table = published_autoencoder()
    return of_type("F32", {entry.sources[0].name: entry.sources[0].shape for entry in table})


def clip(dtype: str = "F16") -> Tensors:
    config = CLIPTextConfig.from_dict(published_config("text_encoder", Path()).values)
    with torch.device("meta"):
        state = CLIPTextModel(config).state_dict()
    return of_type(dtype, {f"text_model.{name}": tensor.shape for name, tensor in state.items()})


def t5(dtype: str = "F16") -> Tensors:
    config = T5Config.from_dict(published_config("text_encoder_2", Path()).values)
    with torch.device("meta"):
        state = T5EncoderModel(config).state_dict()
    shapes = {name: tensor.shape for name, tensor in state.items()}
    shapes.pop("encoder.embed_tokens.weight", None)  # the shared table under another name
    return of_type(dtype, shapes)


def prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def all_in_one() -> Tensors:
    """Comfy-Org's flux1-dev-fp8.safetensors, but for the values."""
    return {
        "text_encoders.clip_l.logit_scale": ("F32", ()),
        **prefixed("text_encoders.clip_l.transformer.", clip()),
        "text_encoders.clip_l.transformer.text_projection.weight": ("F16", (768, 768)),
        "text_encoders.t5xxl.logit_scale": ("F32", ()),
        **prefixed("text_encoders.t5xxl.transformer.", t5("F8_E4M3")),
        **prefixed("model.diffusion_model.", transformer("F8_E4M3")),
        **prefixed("vae.", autoencoder()),
    }


def packed(kind: str) -> Tensors:
    """city96's flux1-dev-KIND.gguf: the blocks' matrices packed, all else as it was."""

    def dtype(name: str, shape: Shape) -> str:
        if len(shape) == 1:
            return "F32"
        return kind if "blocks" in name else "BF16"

    shapes = bfl_transformer(has_guidance=True)
    return {name: (dtype(name, shape), shape) for name, shape in shapes.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Single files for all but the transformer, and the tokenizers."""
    for name, length in (("tokenizer", 77), ("tokenizer_2", 512)):
        (tmp_path / name).mkdir()
        config = json.dumps({"model_max_length": length})
        (tmp_path / name / "tokenizer_config.json").write_text(config)
    write_safetensors(tmp_path / "ae.safetensors", autoencoder())
    write_safetensors(tmp_path / "clip_l.safetensors", clip())
    write_safetensors(tmp_path / "t5xxl_fp16.safetensors", t5())
    return tmp_path


def sizes(checkpoint: Checkpoint) -> list[int]:
    return [component.num_parameters for component in checkpoint.components]


ALL_SIZES = [NUM_TRANSFORMER, NUM_AUTOENCODER, NUM_CLIP, NUM_T5]


def test_folder_of_single_files_is_dev(folder: Path) -> None:
    write_safetensors(folder / "flux1-dev.safetensors", transformer())
    for path in (folder, folder / "flux1-dev.safetensors"):
        checkpoint = inspect(path)
        assert sizes(checkpoint) == ALL_SIZES
        assert checkpoint.transformer == FLUX_DEV.transformer
        assert checkpoint.model.max_text_tokens == 512
        assert checkpoint.schedule.use_dynamic_shifting
        assert checkpoint.autoencoder.scaling_factor == 0.3611
    assert checkpoint.model.slug == "flux1-dev"


def test_file_without_a_guidance_embedder_is_schnell(folder: Path) -> None:
    write_safetensors(folder / "flux1-schnell.sft", transformer(has_guidance=False))
    checkpoint = inspect(folder)
    assert not checkpoint.transformer.guidance_embed
    assert not checkpoint.model.has_guidance
    assert (checkpoint.schedule.shift, checkpoint.schedule.use_dynamic_shifting) == (1.0, False)


def test_comfyuis_file_for_all_has_every_tensor_of_the_published_one(folder: Path) -> None:
    tensors = all_in_one()
    total = sum(int(torch.Size(shape).numel()) for _, shape in tensors.values())
    assert (len(tensors), total) == (1442, 16_871_188_965)  # as its header states
    for name in ("ae", "clip_l", "t5xxl_fp16"):
        (folder / f"{name}.safetensors").unlink()
    path = folder / "flux1-dev-fp8.safetensors"
    write_safetensors(path, tensors)
    checkpoint = inspect(path)
    assert sizes(checkpoint) == ALL_SIZES
    types = {part.name: part.dtypes for part in checkpoint.components}
    assert types == {
        "transformer": ("float8_e4m3fn",),
        "vae": ("float32",),
        "text_encoder": ("float16",),
        "text_encoder_2": ("float8_e4m3fn",),
    }
    assert {part.place for part in checkpoint.components} == {path}


def test_scales_of_comfyuis_scaled_float8_belong_to_their_weights(folder: Path) -> None:
    tensors: Tensors = {"scaled_fp8": ("F8_E4M3", (0,))}
    for name, (_, shape) in transformer().items():
        tensors[name] = ("BF16" if name.endswith(".scale") else "F8_E4M3", shape)
        if name.endswith(".weight"):
            layer = name.removesuffix(".weight")
            tensors |= dict.fromkeys((f"{layer}.scale_weight", f"{layer}.scale_input"), ("F32", ()))
    num_scales = sum("scale_" in name for name in tensors)
    assert num_scales + 1 == 629  # as the file that was published states
    write_safetensors(folder / "flux.safetensors", prefixed("model.diffusion_model.", tensors))
    part = inspect(folder).parts["transformer"]
    assert len(part.tensors) == 780
    assert sum(tensor.scale is not None for tensor in part.tensors.values()) == 314


@pytest.mark.parametrize(
    ("kind", "gib"), [("Q8_0", 11.8), ("Q5_K", 7.7), ("Q4_K", 6.34), ("Q4_0", 6.34)]
)
def test_packed_transformer_is_planned_by_its_own_bytes(
    folder: Path, kind: str, gib: float
) -> None:
    write_gguf(folder / f"flux1-dev-{kind}.gguf", packed(kind))
    checkpoint = inspect(folder)
    assert sizes(checkpoint) == ALL_SIZES
    shapes = shapes_of(checkpoint)
    assert shapes.packed_bytes is not None
    assert sum(shapes.packed_bytes) / GIB == pytest.approx(gib, rel=0.02)
    small = choose_plan(shapes, "bfloat16", 16 * GIB)
    assert small is not None
    assert small.is_packed
    large = choose_plan(shapes, "bfloat16", 80 * GIB)
    assert large is not None
    assert not large.is_packed  # unpacked once is faster


def test_what_is_missing_is_told_for_each(tmp_path: Path) -> None:
    path = tmp_path / "flux1-dev.safetensors"
    write_safetensors(path, transformer())
    parts = find_parts(path)
    assert list(parts.found) == ["transformer"]
    missing = ["vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"]
    assert list(parts.missing) == missing
    with pytest.raises(
        CheckpointError, match=r"an autoencoder is missing: neither .*vae nor a file"
    ):
        inspect(path)


def test_file_of_another_part_is_not_a_model(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"ae.safetensors holds an autoencoder, and no"):
        inspect(folder / "ae.safetensors")


def test_two_files_for_one_part_are_named(folder: Path) -> None:
    write_safetensors(folder / "flux1-dev.safetensors", transformer())
    write_gguf(folder / "flux1-dev-Q8_0.gguf", packed("Q8_0"))
    with pytest.raises(CheckpointError, match=r"Q8_0.gguf and flux1-dev.safetensors both hold"):
        inspect(folder)
    assert "Q8_0" in inspect(folder / "flux1-dev-Q8_0.gguf").components[0].dtypes


def drop(name: str) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.pop(name) and None


def put(name: str, dtype: str, *shape: int) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.update({name: (dtype, shape)})


def only(name: str, dtype: str, *shape: int) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors.clear()
        tensors[name] = (dtype, shape)

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (drop("single_blocks.37.linear2.bias"), "single_blocks.37.linear2.bias is missing; FLUX.1"),
        (drop("guidance_in.in_layer.bias"), "guidance_in.in_layer.bias is missing"),
        (put("single_blocks.38.linear2.bias", "BF16", 3072), "single_blocks.38.* is not part of"),
        (put("img_in.weight", "BF16", 3072, 384), r"img_in.weight has the shape \[3072, 384\]"),
        (put("img_in.weight", "I8", 3072, 64), "img_in.weight is of type I8; known are F32"),
        (put("lora_unet_x.alpha", "BF16"), "lora_unet_x.alpha is an adapter's"),
        (put("distilled_guidance_layer.x", "BF16"), "Chroma's"),
        (put("double_stream_modulation_img.lin.weight", "BF16"), "FLUX.2's"),
        (put("img_in.weight.absmax", "U8", 5), "quantised by bitsandbytes"),
        (put("img_in.scale_weight", "F32", 2), r"img_in.scale_weight .*shape \[2\]"),
        (put("img_in.weight_scale", "I32"), "img_in.weight_scale is of type I32"),
        (put("nothing.scale_weight", "F32"), "nothing.scale_weight scales no tensor"),
        (only("lora_unet_x.lora_down.weight", "BF16", 4, 4), "an adapter's"),
        (only("some.weight", "BF16", 4, 4), "some.weight is not a tensor of FLUX.1"),
    ],
)
def test_what_is_not_flux_is_named(
    folder: Path, change: Callable[[Tensors], None], sentence: str
) -> None:
    tensors = transformer()
    change(tensors)
    path = folder / "flux1-dev.safetensors"
    write_safetensors(path, tensors)
    with pytest.raises(CheckpointError, match=sentence):
        inspect(path)


@pytest.mark.parametrize(
    "layers", ['{"layers": {"img_in": {"format": "nvfp4"}}}', '{"layers": 3}', "{"]
)
def test_unknown_quantisation_is_named(folder: Path, layers: str) -> None:
    path = folder / "flux1-dev.safetensors"
    write_safetensors(path, transformer(), _quantization_metadata=layers)
    with pytest.raises(CheckpointError, match=r"'nvfp4'; known are|is damaged"):
        inspect(path)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("flux1-dev.ckpt", b"\x80\x02}q\x00."),
        ("flux1-dev.bin", b"PK\x03\x04" + bytes(40)),
        ("flux1-dev.pt", b"anything at all"),
        ("flux1-dev.safetensors", b"\x80\x04\x95" + bytes(40)),
        ("flux1-dev.safetensors", b"PK\x03\x04" + bytes(40)),
    ],
)
def test_pickle_is_refused_with_the_reason(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    for path in (folder / name, folder):
        with pytest.raises(
            CheckpointError, match=f"{name} is a pickle, which can run code when it"
        ):
            inspect(path)
