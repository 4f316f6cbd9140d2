"""What is wrong with a model folder is said in one sentence that names the file and the tensor."""

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diffusers import FluxTransformer2DModel

from photogram.core.errors import CheckpointError
from photogram.weights.locate import inspect
from photogram.weights.profile import ASPECT_RATIOS
from tests.tiny import write_checkpoint

TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "My Model")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "My Model"))


def edit(path: Path, **values: Any) -> None:
    config = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(config | values))


def edit_header(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def test_checkpoint_is_described(folder: Path) -> None:
    checkpoint = inspect(folder)
    model = checkpoint.model
    assert (model.slug, model.name) == ("my-model", "Tiny")
    assert model.aspect_ratios["1:1"] == (64, 64)
    assert set(model.aspect_ratios) == set(ASPECT_RATIOS)
    assert (model.size_multiple, model.max_text_tokens, model.has_guidance) == (16, 12, True)
    counts = {c.name: (c.num_parameters, c.size_bytes, c.dtypes) for c in checkpoint.components}
    transformer = FluxTransformer2DModel.from_pretrained(folder / "transformer")
    num_parameters = transformer.num_parameters()
    assert counts["transformer"] == (num_parameters, 4 * num_parameters, ("float32",))


def test_no_torch_is_imported(folder: Path) -> None:
    script = (
        "import sys, pathlib; from photogram.weights.locate import inspect;"
        "inspect(pathlib.Path(sys.argv[1]));"
        "sys.exit(bool({'torch', 'transformers', 'diffusers', 'numpy'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script, str(folder)], check=True, timeout=60)


def test_without_a_profile_the_sizes_are_a_megapixel(folder: Path) -> None:
    (folder / "photogram.json").unlink()
    model = inspect(folder).model
    assert model.aspect_ratios == ASPECT_RATIOS
    assert (model.slug, model.name, model.concepts) == ("my-model", "My Model", ())


def test_folder_of_a_hub_s_cache_has_its_model_s_name(folder: Path, tmp_path: Path) -> None:
    (folder / "photogram.json").unlink()
    snapshot = tmp_path / "models--owner--FLUX.1-dev" / "snapshots" / "0123abcd"
    shutil.copytree(folder, snapshot)
    model = inspect(snapshot).model
    assert (model.slug, model.name) == ("flux-1-dev", "FLUX.1-dev")


def test_sides_are_rounded_to_the_checkpoints_multiple(tmp_path: Path) -> None:
    blocks = (4, 4, 4, 4, 4, 4)
    folder = write_checkpoint(tmp_path, vae_blocks=blocks, native_size=None)
    model = inspect(folder).model
    assert model.size_multiple == 64
    assert model.aspect_ratios["4:5"] == (896, 1088)
    assert model.aspect_ratios["16:9"] == (1344, 768)
    assert all(side % 64 == 0 for size in model.aspect_ratios.values() for side in size)


@pytest.mark.parametrize(
    ("value", "length"), [(None, 512), (10**30, 512), (1e30, 512), (77, 77), (512, 512)]
)
def test_text_length_is_tokenizer_2s(folder: Path, value: float | None, length: int) -> None:
    edit(folder / "tokenizer_2/tokenizer_config.json", model_max_length=value)
    assert inspect(folder).model.max_text_tokens == length


def test_shards_are_read_through_their_index(folder: Path) -> None:
    transformer = FluxTransformer2DModel.from_pretrained(folder / "transformer")
    shutil.rmtree(folder / "transformer")
    transformer.save_pretrained(folder / "transformer", max_shard_size="100KB")
    shards = sorted((folder / "transformer").glob("*.safetensors"))
    assert len(shards) > 1
    assert inspect(folder).components[0].num_parameters == transformer.num_parameters()

    (folder / TRANSFORMER).touch()
    with pytest.raises(CheckpointError, match="remove one of them"):
        inspect(folder)
    (folder / TRANSFORMER).unlink()
    shards[1].rename(shards[1].with_suffix(".gone"))
    with pytest.raises(CheckpointError, match=rf"{shards[1].name} is missing, but .*index.json"):
        inspect(folder)


def remove(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def change(name: str, **values: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / name, **values)


def write(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data) and None


def truncate(name: str, num_bytes: int) -> Callable[[Path], None]:
    return lambda folder: (
        (folder / name).write_bytes((folder / name).read_bytes()[:num_bytes]) and None
    )


def rename_tensor(folder: Path) -> None:
    edit_header(
        folder / TRANSFORMER, lambda h: h.update({"x_embedder.wait": h.pop("x_embedder.weight")})
    )


def add_tensor(folder: Path) -> None:
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    edit_header(folder / TRANSFORMER, lambda h: h.update({"added.weight": empty}))


def reshape_tensor(folder: Path) -> None:
    edit_header(folder / TRANSFORMER, lambda h: h["x_embedder.weight"].update(shape=[16, 32]))


def retype_tensor(folder: Path) -> None:
    edit_header(folder / TRANSFORMER, lambda h: h["x_embedder.weight"].update(dtype="I32"))


def swap_for_pickle(folder: Path) -> None:
    (folder / TRANSFORMER).rename(folder / "transformer/diffusion_pytorch_model.bin")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (remove("."), "does not exist"),
        (remove("model_index.json"), "model_index.json is missing"),
        (write("model_index.json", b"{"), "model_index.json is not valid JSON"),
        (write("model_index.json", b"[]"), "must hold a JSON object"),
        (write("model_index.json", b"[" * 100_000), "not valid JSON"),
        (change("model_index.json", _class_name="StableDiffusionPipeline"), "StableDiffusion"),
        (change("model_index.json", vae=None), "the component vae is missing"),
        (change("model_index.json", vae=["diffusers", "VQModel"]), "vae is diffusers.VQModel"),
        (change("model_index.json", tokenizer=["os", "system"]), "tokenizer is os.system"),
        (remove("vae"), "an autoencoder is missing: neither .*vae nor a file in"),
        (remove("tokenizer"), "tokenizer is missing"),
        (remove("transformer/config.json"), "config.json is missing"),
        (remove(TRANSFORMER), "a FLUX.1 transformer is missing"),
        (remove("tokenizer_2/tokenizer_config.json"), "tokenizer_config.json is missing"),
        (swap_for_pickle, "diffusion_pytorch_model.bin is a pickle, which can run code"),
        (truncate(TRANSFORMER, 0), "truncated"),
        (truncate(TRANSFORMER, 100), "truncated"),
        (truncate(TRANSFORMER, 300_000), "truncated or damaged: it has 300000 bytes"),
        (write(TRANSFORMER, struct.pack("<Q", 2**63)), "truncated"),
        (write(TRANSFORMER, struct.pack("<Q", 4) + b"nope"), "header is not valid JSON"),
        (write(TRANSFORMER, struct.pack("<Q", 12) + b'{"a": [1, 2]'[:12]), "not valid JSON"),
        (write(TRANSFORMER, struct.pack("<Q", 8) + b'{"a": 1}'), "entry of a is damaged"),
        (rename_tensor, "x_embedder.weight is missing"),
        (add_tensor, "added.weight is not part of what .*config.json describes"),
        (reshape_tensor, r"x_embedder.weight has the shape \[16, 32\], .* asks for \[32, 16\]"),
        (retype_tensor, "x_embedder.weight is of type I32"),
        (change("transformer/config.json", num_layers=2), "transformer_blocks.1.* is missing"),
        (change("transformer/config.json", num_layers=0), "is not part of what"),
        (change("transformer/config.json", num_layers=10**9), "num_layers is 1000000000"),
        (change("transformer/config.json", num_layers="1"), 'num_layers is "1"'),
        (change("transformer/config.json", num_layers=True), "num_layers is true"),
        (change("transformer/config.json", guidance_embeds=1), "guidance_embeds is 1"),
        (change("transformer/config.json", axes_dims_rope=[4, 4, 4]), "sums to 12, .* 16 wide"),
        (change("transformer/config.json", axes_dims_rope="16"), "axes_dims_rope is"),
        (change("transformer/config.json", patch_size=2), "patch_size is 2"),
        (change("transformer/config.json", guidance_embeds=False), "guidance_embedder"),
        (change("vae/config.json", latent_channels=16), "in_channels / 4 is 4, .* gives 16"),
        (change("vae/config.json", scaling_factor=float("nan")), "scaling_factor is NaN"),
        (change("vae/config.json", scaling_factor=0), "scaling_factor is 0"),
        (change("vae/config.json", shift_factor=None), "shift_factor is missing"),
        (change("vae/config.json", block_out_channels=[]), "block_out_channels"),
        (change("text_encoder_2/config.json", d_model=99), "is 24, .* gives 99"),
        (change("text_encoder/config.json", hidden_size=99), "is 32, .* gives 99"),
        (change("scheduler/scheduler_config.json", use_karras_sigmas=True), "use_karras_sigmas"),
        (change("scheduler/scheduler_config.json", shift_terminal=0.1), "shift_terminal is set"),
        (change("scheduler/scheduler_config.json", use_flow_sigmas=True), "use_flow_sigmas"),
        (change("scheduler/scheduler_config.json", shift=-1), "shift is -1"),
        (change("scheduler/scheduler_config.json", shift=10**400), "shift is 1000.*finite"),
        (change("tokenizer_2/tokenizer_config.json", model_max_length=1), "model_max_length is 1"),
        (change("tokenizer/tokenizer_config.json", model_max_length=77), "is 77, .* 16 positions"),
        (change("photogram.json", slug="A b"), 'slug is "A b"'),
        (change("photogram.json", stile=[]), "unknown key stile"),
        (change("photogram.json", native_size=8), "native_size is 8"),
        (change("photogram.json", concepts=[1]), "concepts is"),
        (change("photogram.json", aspect_ratios={"1:1": [64, 64]}), "aspect_ratios is"),
        (
            change("photogram.json", aspect_ratios={ratio: [60, 64] for ratio in ASPECT_RATIOS}),
            "multiples of 16",
        ),
    ],
)
def test_problem_is_named(folder: Path, damage: Callable[[Path], None], sentence: str) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=sentence):
        inspect(folder)


def test_name_that_the_system_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="xxx cannot be read: File name too long"):
        inspect(tmp_path / ("x" * 300))
