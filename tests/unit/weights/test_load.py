import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file, save_file

from photogram.core.errors import CheckpointError
from photogram.model.packed import PackedLinear
from photogram.weights.load import load, load_transformer
from photogram.weights.locate import inspect
from photogram.weights.packing import Precision, is_modulation
from photogram.weights.plan import make_plan
from photogram.weights.sizes import shapes_of, transformer_bytes
from tests import forms
from tests.tiny import write_checkpoint

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tiny"), num_layers=2)


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "tiny"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_networks_have_the_asked_precision(folder: Path, dtype: torch.dtype) -> None:
    networks = load(inspect(folder), CPU, dtype)
    modules = (networks.transformer, networks.vae, networks.text_encoder, networks.text_encoder_2)
    for module in modules:
        assert {parameter.dtype for parameter in module.parameters()} == {dtype}
        assert not any(parameter.requires_grad for parameter in module.parameters())
        assert not module.training


def test_tensors_are_placed_as_planned(folder: Path) -> None:
    """The meta device stands for a GPU, whose tensors are not on the CPU either."""
    checkpoint, device = inspect(folder), torch.device("meta")
    plan = make_plan(shapes_of(checkpoint), "float8_e4m3fn", has_text=False, has_modulation=False)
    state = load_transformer(checkpoint, device, torch.bfloat16, plan).state_dict()
    in_host = {name for name, tensor in state.items() if tensor.device.type == "cpu"}
    assert in_host == {name for name in state if is_modulation(name)}
    assert len(in_host) == 2 * (2 * 2 + 1)  # weight and bias of two double blocks and a single
    core = sum(tensor.nbytes for name, tensor in state.items() if name not in in_host)
    assert core == transformer_bytes(checkpoint.transformer, "float8_e4m3fn")[0]
    everything = load_transformer(checkpoint, device, torch.bfloat16).state_dict()
    assert {tensor.device.type for tensor in everything.values()} == {"meta"}


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_weights_are_packed_at_load_in_the_bytes_that_are_planned(
    folder: Path, precision: Precision
) -> None:
    """The meta device stands for one that does not multiply in int8."""
    checkpoint, device = inspect(folder), torch.device("meta")
    plan = make_plan(shapes_of(checkpoint), precision)
    transformer = load_transformer(checkpoint, device, torch.bfloat16, plan)
    num_bytes = sum(tensor.nbytes for tensor in transformer.state_dict().values())
    assert num_bytes == sum(transformer_bytes(checkpoint.transformer, precision))
    kinds = {each.kind for each in transformer.modules() if isinstance(each, PackedLinear)}
    assert kinds == ({"INT8"} if precision == "int8" else {"INT8", "NF4"})


def test_t5_is_packed_with_the_transformer(folder: Path) -> None:
    checkpoint = inspect(folder)
    exact = load(checkpoint, CPU, torch.float32)
    packed = load(checkpoint, CPU, torch.float32, make_plan(shapes_of(checkpoint), "int8"))
    sizes = [
        sum(tensor.nbytes for tensor in networks.text_encoder_2.state_dict().values())
        for networks in (exact, packed)
    ]
    numbers, rows = shapes_of(checkpoint).text_matrices
    assert sizes[0] - sizes[1] == 3 * numbers - 4 * rows
    ids = torch.tensor([[5, 6, 7, 1]])
    a, b = (networks.text_encoder_2(ids)[0] for networks in (exact, packed))
    assert 0 < (a - b).norm() < 0.03 * a.norm()


def test_shards_and_one_file_give_the_same_transformer(folder: Path) -> None:
    whole = load_transformer(inspect(folder), CPU, torch.float32).state_dict()
    theirs = FluxTransformer2DModel.from_pretrained(folder / "transformer")
    shutil.rmtree(folder / "transformer")
    theirs.save_pretrained(folder / "transformer", max_shard_size="100KB")
    shards = load_transformer(inspect(folder), CPU, torch.float32).state_dict()
    assert all(torch.equal(whole[name], shards[name]) for name in whole | shards)


def test_nothing_is_printed(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load(inspect(folder), CPU, torch.float32)
    assert capfd.readouterr() == ("", "")


def test_disk_that_ends_while_loading_is_told_with_the_tensor(folder: Path) -> None:
    checkpoint = inspect(folder)
    path = folder / "transformer/diffusion_pytorch_model.safetensors"
    os.truncate(path, path.stat().st_size - 100)
    with pytest.raises(CheckpointError, match=rf"{path} ends within \S+: \d+ of \d+ bytes"):
        load(checkpoint, CPU, torch.float32)


@pytest.mark.parametrize(
    ("file", "name", "sentence"),
    [
        ("clip_l", "text_model.final_layer_norm.bias", "clip_l.safetensors: missing tensor"),
        ("t5xxl_fp16", "encoder.block.0.layer.0.layer_norm.weight", "t5xxl_fp16.*: missing tensor"),
        ("ae", "decoder.conv_out.bias", "decoder.conv_out.bias is missing; .*vae/config.json"),
        ("flux1-dev", "txt_in.bias", "txt_in.bias is missing; .*transformer/config.json"),
    ],
)
def test_single_file_that_lacks_a_tensor_is_named(
    folder: Path, tmp_path: Path, file: str, name: str, sentence: str
) -> None:
    parts = forms.write_parts(folder, tmp_path / "parts")
    state = load_file(parts / f"{file}.safetensors")
    del state[name]
    save_file(state, parts / f"{file}.safetensors")
    with pytest.raises(CheckpointError, match=sentence):
        load(inspect(parts), CPU, torch.float32)


def test_parts_of_another_model_are_named(folder: Path, tmp_path: Path) -> None:
    parts = forms.write_parts(folder, tmp_path / "parts")
    other = write_checkpoint(tmp_path / "other", latent_channels=8)
    forms.save(parts / "ae.safetensors", forms.autoencoder(other))
    with pytest.raises(CheckpointError, match=r"ae.safetensors: .* has the shape .* asks for"):
        inspect(parts)


def edit_tensors(
    file: str, edit: Callable[[dict[str, torch.Tensor]], None]
) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / file)
        edit(tensors)
        save_file(tensors, folder / file, metadata={"format": "pt"})

    return damage


def write_bad_tokenizer(folder: Path) -> None:
    (folder / "tokenizer_2/tokenizer.json").write_text("{}")


def quantise(folder: Path) -> None:
    path = folder / "text_encoder_2/config.json"
    config = json.loads(path.read_text())
    quantised = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    path.write_text(json.dumps(config | {"quantization_config": quantised}))


def add_token(folder: Path) -> None:
    path = folder / "tokenizer_2/tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"].append(["▁zebra", -3.0])
    path.write_text(json.dumps(tokenizer))


def take_padding_away(folder: Path) -> None:
    path = folder / "tokenizer_2/tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"tokenizer_class": "x", "pad_token": None}))
    index_path = folder / "model_index.json"
    index = json.loads(index_path.read_text())
    index["tokenizer_2"] = ["transformers", "PreTrainedTokenizerFast"]
    index_path.write_text(json.dumps(index))


def name_unknown_tokenizer(folder: Path) -> None:
    path = folder / "model_index.json"
    index = json.loads(path.read_text()) | {"tokenizer": ["transformers", "AutoModel"]}
    path.write_text(json.dumps(index))


VAE, T5, CLIP = (
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder_2/model.safetensors",
    "text_encoder/model.safetensors",
)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (edit_tensors(VAE, lambda t: t.pop("decoder.conv_in.weight")), "decoder.conv_in.weight"),
        (edit_tensors(VAE, lambda t: t.update(extra=torch.zeros(1))), "unexpected tensor extra"),
        (edit_tensors(T5, lambda t: t.pop("shared.weight")), "text_encoder_2.*missing"),
        (edit_tensors(T5, lambda t: t.update(extra=torch.zeros(1))), "unexpected tensor extra"),
        (edit_tensors(CLIP, lambda t: t.clear()), "text_encoder.*missing"),
        (write_bad_tokenizer, "tokenizer_2 cannot be loaded"),
        (name_unknown_tokenizer, "no tokenizer AutoModel"),
        (quantise, "text_encoder_2 cannot be loaded: .*bitsandbytes"),
        (add_token, "tokenizer_2 has 48 tokens, but its text encoder embeds 47"),
        (take_padding_away, "tokenizer_2 names no pad_token"),
    ],
)
def test_problem_is_named(folder: Path, damage: Callable[[Path], None], sentence: str) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=sentence):
        load(inspect(folder), CPU, torch.float32)


def test_damage_that_the_headers_hide_is_named(folder: Path) -> None:
    path = folder / "transformer/diffusion_pytorch_model.safetensors"
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    first, second = sorted(
        (name for name in header if header[name].get("shape") == [32]),
        key=lambda name: header[name]["data_offsets"],
    )[:2]
    header[second]["data_offsets"] = header[first]["data_offsets"]  # two tensors, one place
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    with pytest.raises(CheckpointError, match="transformer"):
        load_transformer(inspect(folder), CPU, torch.float32)
