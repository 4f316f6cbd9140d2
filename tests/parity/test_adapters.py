"""Pictures with adapters equal diffusers' with the same files and scales, through PEFT."""

import warnings
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
import transformers
from diffusers import FluxPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor

from photogram.pipeline.flux import Pipeline
from photogram.weights.locate import inspect
from tests import adapters
from tests.tiny import write_checkpoint

PROMPT = "a red cat on the blue house with a tree"
NUM_STEPS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny [dev] with two blocks of each kind, and adapters that change all of it or a part."""
    folder = write_checkpoint(
        tmp_path_factory.mktemp("tiny"), seed=3, num_layers=2, num_single_layers=2
    )
    adapters.write_adapters(folder)
    return folder


@pytest.fixture
def theirs(folder: Path) -> FluxPipeline:
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = FluxPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def ours(folder: Path) -> Pipeline:
    return Pipeline.from_pretrained(folder, dtype=torch.float32)


def latents_of(ours: Pipeline, files: dict[Path, float]) -> Tensor:
    """The packed latents of a picture."""
    chosen = [(ours.load_adapter(path), scale) for path, scale in files.items()]
    picture = ours.start(PROMPT, 96, 32, NUM_STEPS, 2.0, 7, chosen)
    while not picture.is_done:
        ours.step([picture])
    return picture.img


def their_latents(theirs: FluxPipeline, ours: Pipeline) -> Tensor:
    latents: Tensor = theirs(
        PROMPT,
        width=96,
        height=32,
        num_inference_steps=NUM_STEPS,
        guidance_scale=2.0,
        generator=torch.Generator("cpu").manual_seed(7),
        max_sequence_length=ours.model.max_text_tokens,
        output_type="latent",
    ).images[0]
    return latents


def assert_equal(found: Tensor, expected: Tensor, plain: Tensor) -> None:
    scale = expected.square().mean().sqrt()
    assert (found - expected).abs().max() < 1e-4 * scale
    assert (found - plain).abs().max() > 0.1 * scale, "an adapter without effect proves nothing"


def load(theirs: FluxPipeline, files: dict[Path, float]) -> None:
    """Their own way to take several adapters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in files:
            theirs.load_lora_weights(str(path), adapter_name=path.stem)
        theirs.set_adapters([path.stem for path in files], list(files.values()))


@pytest.mark.parametrize(
    "scales",
    [
        {"everything": 1.0},
        {"attention": 0.4},
        {"everything": 0.7, "attention": 1.3},
    ],
    ids=str,
)
def test_latents_equal_diffusers(
    folder: Path, ours: Pipeline, theirs: FluxPipeline, scales: dict[str, float]
) -> None:
    files = {folder / "loras" / f"{name}.safetensors": scale for name, scale in scales.items()}
    load(theirs, files)
    assert_equal(latents_of(ours, files), their_latents(theirs, ours), latents_of(ours, {}))


@pytest.mark.parametrize("naming", ["kohya", "XLabs"])
def test_adapters_of_other_trainers_equal_diffusers(
    folder: Path, ours: Pipeline, theirs: FluxPipeline, naming: str
) -> None:
    """Those of which diffusers converts any size: kohya's double blocks, XLabs' processors."""
    params = inspect(folder).transformer
    if naming == "XLabs":
        state = adapters.xlabs(adapters.layer_shapes(params, "XLabs"), 4)
    else:
        shapes = adapters.layer_shapes(params, "Black Forest Labs")
        # diffusers drops what kohya has of the layers before and after the blocks
        own = adapters.only(shapes, ["double_blocks", "linear2", "modulation.lin"])
        state = adapters.kohya(adapters.random_lora(own, 4, prefix=""), alpha=3.0)
    path = adapters.save(folder / "loras" / f"{naming}.safetensors", state)
    load(theirs, {path: 0.8})
    assert_equal(latents_of(ours, {path: 0.8}), their_latents(theirs, ours), latents_of(ours, {}))


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"alpha_pattern": {"to_k": 1}}])
def test_numbers_of_peft_are_read_from_the_file(
    folder: Path, ours: Pipeline, theirs: FluxPipeline, tmp_path: Path, options: dict[str, object]
) -> None:
    """What diffusers writes of an adapter that PEFT has made."""
    config = LoraConfig(r=4, lora_alpha=10, target_modules=["to_q", "to_k", "ff.net.2"], **options)
    theirs.transformer.add_adapter(config)
    torch.manual_seed(5)
    for name, parameter in theirs.transformer.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    metadata = {
        name: sorted(v) if isinstance(v, set) else v for name, v in config.to_dict().items()
    }
    kept = ("r", "lora_alpha", "use_rslora", "use_dora", "alpha_pattern", "rank_pattern")
    FluxPipeline.save_lora_weights(
        tmp_path,
        transformer_lora_layers=get_peft_model_state_dict(theirs.transformer),
        transformer_lora_adapter_metadata={name: metadata[name] for name in kept},
        weight_name="mine.safetensors",
    )
    expected = their_latents(theirs, ours)
    found = latents_of(ours, {tmp_path / "mine.safetensors": 1.0})
    assert_equal(found, expected, latents_of(ours, {}))


def test_pictures_equal_diffusers(folder: Path, ours: Pipeline, theirs: FluxPipeline) -> None:
    path = folder / "loras" / "everything.safetensors"
    load(theirs, {path: 0.5})
    picture = np.asarray(
        ours.generate(PROMPT, steps=4, guidance=2.0, seed=7, loras={str(path): 0.5})
    )
    expected = theirs(
        PROMPT,
        width=64,
        height=64,
        num_inference_steps=4,
        guidance_scale=2.0,
        generator=torch.Generator("cpu").manual_seed(7),
        max_sequence_length=ours.model.max_text_tokens,
        output_type="np",
    ).images[0]
    assert np.abs(picture.astype(float) - (expected * 255).round()).max() <= 1
    assert picture.std() > 10, "a flat picture proves nothing"
