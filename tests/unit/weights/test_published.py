"""FLUX.1 [dev] and [schnell] as they were published: their configurations, names, shapes and files.

The transformer is at its full size, with headers alone: its files are holes of the right length.
What the libraries load (text encoders, tokenizers) is tiny, but in the layout of its time.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file, save_file

from photogram.model.transformer import Flux
from photogram.pipeline.flux import Pipeline
from photogram.weights.components import read_transformer
from photogram.weights.configs import Config
from photogram.weights.keymap import entries
from photogram.weights.locate import inspect
from photogram.weights.profile import ASPECT_RATIOS
from tests.tiny import write_checkpoint
from tests.unit.weights.holes import of_type, write_safetensors

MODELS = ["dev", "schnell"]
NUM_PARAMETERS = {"dev": 11_901_408_320, "schnell": 11_891_178_560}
NUM_SHARDS = 3
VERSION = {"_diffusers_version": "0.30.0.dev0"}


def transformer_config(model: str) -> dict[str, Any]:
    return VERSION | {
        "_class_name": "FluxTransformer2DModel",
        "_name_or_path": f"../checkpoints/flux-{model}/transformer",
        "attention_head_dim": 128,
        "guidance_embeds": model == "dev",
        "in_channels": 64,
        "joint_attention_dim": 4096,
        "num_attention_heads": 24,
        "num_layers": 19,
        "num_single_layers": 38,
        "patch_size": 1,
        "pooled_projection_dim": 768,
    }


def configs(model: str) -> dict[str, dict[str, Any]]:
    return {
        "model_index.json": VERSION
        | {
            "_class_name": "FluxPipeline",
            "feature_extractor": [None, None],
            "image_encoder": [None, None],
            "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "text_encoder_2": ["transformers", "T5EncoderModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "tokenizer_2": ["transformers", "T5TokenizerFast"],
            "transformer": ["diffusers", "FluxTransformer2DModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
        "transformer/config.json": transformer_config(model),
        "scheduler/scheduler_config.json": VERSION
        | {
            "_class_name": "FlowMatchEulerDiscreteScheduler",
            "base_image_seq_len": 256,
            "base_shift": 0.5,
            "max_image_seq_len": 4096,
            "max_shift": 1.15,
            "num_train_timesteps": 1000,
            "shift": 3.0 if model == "dev" else 1.0,
            "use_dynamic_shifting": model == "dev",
        },
        "vae/config.json": VERSION
        | {
            "_class_name": "AutoencoderKL",
            "block_out_channels": [128, 256, 512, 512],
            "latent_channels": 16,
            "latents_mean": None,
            "latents_std": None,
            "scaling_factor": 0.3611,
            "shift_factor": 0.1159,
        },
        "text_encoder/config.json": {
            "architectures": ["CLIPTextModel"],
            "hidden_size": 768,
            "max_position_embeddings": 77,
            "torch_dtype": "bfloat16",
        },
        "text_encoder_2/config.json": {
            "architectures": ["T5EncoderModel"],
            "d_model": 4096,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
        },
        "tokenizer/tokenizer_config.json": {"model_max_length": 77},
        "tokenizer_2/tokenizer_config.json": {"model_max_length": 512},
    }


def on_meta(model: str) -> FluxTransformer2DModel:
    with torch.device("meta"):
        return FluxTransformer2DModel.from_config(transformer_config(model))


def write_published(folder: Path, model: str) -> Path:
    for name, config in configs(model).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(config))
    shapes = {name: list(tensor.shape) for name, tensor in on_meta(model).state_dict().items()}
    weight_map = {}
    for index in range(NUM_SHARDS):
        file_name = f"diffusion_pytorch_model-{index + 1:05}-of-{NUM_SHARDS:05}.safetensors"
        names = list(shapes)[index::NUM_SHARDS]
        part = of_type("BF16", {name: shapes[name] for name in names})
        write_safetensors(folder / "transformer" / file_name, part)
        weight_map |= dict.fromkeys(names, file_name)
    index_file = folder / "transformer/diffusion_pytorch_model.safetensors.index.json"
    index_file.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    write_safetensors(folder / "vae/diffusion_pytorch_model.safetensors", {"x": ("BF16", (1,))})
    write_safetensors(folder / "text_encoder/model.safetensors", {"x": ("BF16", (1,))})
    write_safetensors(folder / "text_encoder_2/model.safetensors", {"x": ("BF16", (1,))})
    for extra in ("ae.safetensors", f"flux1-{model}.safetensors"):  # the vendor's own layout
        (folder / extra).touch()
    return folder


@pytest.mark.parametrize("model", MODELS)
def test_every_name_and_shape_is_diffusers(tmp_path: Path, model: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(transformer_config(model)))
    params = read_transformer(Config.read(tmp_path / "config.json"))
    table = list(entries(params))
    theirs = {name: tuple(tensor.shape) for name, tensor in on_meta(model).state_dict().items()}
    assert {s.name: s.shape for entry in table for s in entry.sources} == theirs
    with torch.device("meta"):
        ours = Flux(params).state_dict()
    assert {e.name: e.shape for e in table} == {name: tuple(t.shape) for name, t in ours.items()}


@pytest.mark.parametrize("model", MODELS)
def test_published_folder_is_served(tmp_path: Path, model: str) -> None:
    checkpoint = inspect(write_published(tmp_path / f"FLUX.1-{model}", model))
    assert checkpoint.components[0].num_parameters == NUM_PARAMETERS[model]
    assert checkpoint.components[0].dtypes == ("bfloat16",)
    info = checkpoint.model
    assert (info.slug, info.has_guidance) == (f"flux-1-{model}", model == "dev")
    assert (info.size_multiple, info.max_text_tokens, checkpoint.clip_tokens) == (16, 512, 77)
    assert info.aspect_ratios == ASPECT_RATIOS
    assert checkpoint.schedule.use_dynamic_shifting == (model == "dev")


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def name_clip_as_before(folder: Path) -> None:
    """transformers 4: a prefix before every name, and once a tensor of positions."""
    path = folder / "text_encoder/model.safetensors"
    tensors = {f"text_model.{name}": tensor for name, tensor in load_file(path).items()}
    tensors["text_model.embeddings.position_ids"] = torch.arange(16)[None]
    save_file(tensors, path, metadata={"format": "pt"})


def untie_t5(folder: Path) -> None:
    """T5-XXL's own words; its file holds the shared table alone."""
    edit(folder / "text_encoder_2/config.json", tie_word_embeddings=False, torch_dtype="bfloat16")


def split_clip_tokenizer(folder: Path) -> None:
    """CLIP's slow files: a vocabulary and a list of merges."""
    tokenizer = folder / "tokenizer"
    vocab = json.loads((tokenizer / "tokenizer.json").read_text())["model"]["vocab"]
    (tokenizer / "vocab.json").write_text(json.dumps(vocab))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    (tokenizer / "tokenizer.json").unlink()
    start, end = "<|startoftext|>", "<|endoftext|>"
    edit(
        tokenizer / "tokenizer_config.json",
        bos_token=start, eos_token=end, pad_token=end, unk_token=end,
        do_lower_case=True, errors="replace", tokenizer_class="CLIPTokenizer",
    )  # fmt: skip


@pytest.fixture(scope="module")
def modern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("modern"))


@pytest.mark.parametrize("age", [name_clip_as_before, untie_t5, split_clip_tokenizer])
def test_older_files_paint_the_same_picture(
    modern: Path, tmp_path: Path, age: Callable[[Path], None]
) -> None:
    old = Path(shutil.copytree(modern, tmp_path / "old"))
    age(old)
    pictures = [
        np.asarray(Pipeline.from_pretrained(folder, "cpu", torch.float32).generate("a cat", 2))
        for folder in (modern, old)
    ]
    assert np.array_equal(*pictures)
