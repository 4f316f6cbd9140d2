"""The same pictures from every form in which people have FLUX.1."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import T5Config, T5EncoderModel

from photogram.model.packed import PackedLinear
from photogram.pipeline.flux import Pipeline
from photogram.weights.load import load_transformer
from photogram.weights.locate import inspect
from tests import forms
from tests.tiny import scaled, write_checkpoint

CPU = torch.device("cpu")
MODELS = {"dev": True, "schnell": False}


def paint(path: Path, dtype: torch.dtype = torch.float32) -> NDArray[np.uint8]:
    return np.asarray(Pipeline.from_pretrained(path, "cpu", dtype).generate("a cat", 2))


@pytest.fixture(scope="module", params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """[dev] and [schnell] in diffusers' layout, with rows of whole blocks of 32 and of 256."""
    guided = MODELS[request.param]
    folder = write_checkpoint(
        tmp_path_factory.mktemp(request.param) / "original",
        guidance_embeds=guided,
        dynamic_shift=guided,
        num_layers=2,
        num_single_layers=2,
        num_heads=2,
        axes_dims_rope=(16, 56, 56),
    )
    num_tokens = T5EncoderModel.from_pretrained(folder / "text_encoder_2").config.vocab_size
    t5 = T5Config(
        vocab_size=num_tokens, d_model=24, d_kv=8, d_ff=48, num_layers=2, num_heads=2,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False,
    )  # fmt: skip
    scaled(T5EncoderModel(t5)).save_pretrained(folder / "text_encoder_2")
    return folder


@pytest.fixture(scope="module")
def picture(folder: Path) -> NDArray[np.uint8]:
    return paint(folder)


def write_transformer_in_folder(folder: Path, target: Path) -> Path:
    """A folder in diffusers' layout, but for its transformer's file."""
    forms.strip(folder, target, "transformer")
    forms.save(target / "transformer" / "flux1-dev.safetensors", forms.transformer(folder))
    return target


def write_transformer_beside(folder: Path, target: Path) -> Path:
    """A complete folder, and a file beside that is named instead of its transformer."""
    forms.strip(folder, target)
    forms.save(target / "finetune.safetensors", forms.transformer(folder))
    return target / "finetune.safetensors"


def write_newer_spelling(folder: Path, target: Path) -> Path:
    forms.strip(folder, target, "transformer")
    state = {
        name.replace("_norm.scale", "_norm.weight"): tensor
        for name, tensor in forms.transformer(folder).items()
    }
    forms.save(target / "flux.safetensors", forms.prefixed("model.diffusion_model.", state))
    return target


@pytest.mark.parametrize(
    "write",
    [
        forms.write_parts,
        forms.write_all_in_one,
        write_transformer_in_folder,
        write_transformer_beside,
        write_newer_spelling,
    ],
)
def test_every_form_paints_the_same_picture(
    folder: Path, picture: NDArray[np.uint8], tmp_path: Path, write: Callable[[Path, Path], Path]
) -> None:
    assert np.array_equal(paint(write(folder, tmp_path / "form")), picture)


@pytest.mark.parametrize("spelling", ["scale_weight", "weight_scale", None])
def test_float8_paints_what_its_numbers_mean(
    folder: Path, tmp_path: Path, spelling: str | None
) -> None:
    packed = forms.strip(folder, tmp_path / "packed", "transformer")
    state = forms.to_float8(forms.transformer(folder), spelling)
    forms.save(packed / "flux1-dev-fp8.safetensors", state)
    meant = forms.strip(folder, tmp_path / "meant", "transformer")
    forms.save(meant / "flux1-dev.safetensors", forms.meant_by_float8(state))
    assert np.array_equal(paint(packed), paint(meant))


@pytest.mark.parametrize("spelling", ["scale_weight", "weight_scale", None])
def test_float8_text_encoder_reads_what_its_numbers_mean(
    folder: Path, tmp_path: Path, spelling: str | None
) -> None:
    packed = forms.strip(folder, tmp_path / "packed", "text_encoder_2")
    state = forms.to_float8(forms.t5(folder), spelling)
    forms.save(packed / "t5xxl_fp8_e4m3fn.safetensors", state)
    meant = forms.strip(folder, tmp_path / "meant", "text_encoder_2")
    forms.save(meant / "t5xxl.safetensors", forms.meant_by_float8(state))
    assert np.array_equal(paint(packed), paint(meant))


@pytest.mark.parametrize("kind", ["Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "BF16", "F16", "F32"])
def test_gguf_paints_what_ggufs_own_numbers_are(folder: Path, tmp_path: Path, kind: str) -> None:
    packed = forms.strip(folder, tmp_path / "packed", "transformer")
    path = packed / f"flux1-dev-{kind}.gguf"
    numbers = forms.write_gguf(path, forms.transformer(folder), kind)
    meant = forms.strip(folder, tmp_path / "meant", "transformer")
    forms.save(meant / "flux1-dev.safetensors", numbers)
    for dtype in (torch.float32, torch.bfloat16):
        assert np.array_equal(paint(packed, dtype), paint(meant, dtype))


def test_t5_of_ggufs_paints_the_same_picture(
    folder: Path, picture: NDArray[np.uint8], tmp_path: Path
) -> None:
    target = forms.strip(folder, tmp_path / "form", "text_encoder_2")
    state = {forms.llama_cpp_name(name): tensor for name, tensor in forms.t5(folder).items()}
    forms.write_gguf(target / "t5xxl.gguf", state, "F32")
    assert np.array_equal(paint(target), picture)


def test_packed_matrices_take_the_files_bytes(folder: Path, tmp_path: Path) -> None:
    target = forms.strip(folder, tmp_path / "packed", "transformer")
    path = target / "flux1-dev-Q4_0.gguf"
    forms.write_gguf(path, forms.transformer(folder), "Q4_0")
    transformer = load_transformer(inspect(path), CPU, torch.bfloat16)
    layers = [module for module in transformer.modules() if isinstance(module, PackedLinear)]
    assert len(layers) == 2 * 10 + 2 * 4  # of every block all linear layers
    packed = sum(layer.weight.nbytes for layer in layers)
    numbers = sum(tensor.numel() for name, tensor in load_blocks(folder).items())
    assert packed == numbers * 18 // 32


def load_blocks(folder: Path) -> dict[str, torch.Tensor]:
    state = load_file(folder / "transformer" / forms.DIFFUSERS_FILE)
    return {name: t for name, t in state.items() if "blocks" in name and t.ndim == 2}
