"""Adapters on the command line: what a file is said to be, and which words choose it."""

import json
import re
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from typer.testing import CliRunner, Result

from photogram.cli.adapters import read_adapters
from photogram.cli.main import app
from photogram.core.errors import CheckpointError, InvalidRequestError
from photogram.core.messages import Adapter
from photogram.weights.locate import inspect
from tests.adapters import kohya, layer_shapes, random_lora, save, write_adapters
from tests.tiny import write_checkpoint
from tests.unit.cli.test_models import facts


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def loras(checkpoint: Path) -> Path:
    return write_adapters(checkpoint)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_adapter_is_described_beside_the_model_that_it_fits(
    checkpoint: Path, tmp_path: Path
) -> None:
    shapes = layer_shapes(inspect(checkpoint).transformer, "Black Forest Labs")
    state = kohya(random_lora(shapes, 4, prefix=""))
    state |= kohya(random_lora({"text_model_mlp_fc1": (8, 8)}, 4, prefix=""), prefix="lora_te1_")
    path = save(tmp_path / "ink.safetensors", state)
    result = run("models", "inspect", path, "--model", checkpoint)
    assert result.exit_code == 0
    said = facts(result)
    assert said["adapter"] == "ink"
    assert said["named by"] == "kohya"
    assert said["changes"] == f"{len(shapes)} layers"
    assert said["rank"] == "4"
    assert said["weights"].endswith("MiB, float32")
    assert said["left out"] == "3 tensors for text encoders, which stay as they are"
    assert said["fits"].startswith("Tiny (tiny")


def test_adapter_of_another_model_is_refused_with_its_tensor(loras: Path) -> None:
    result = run("models", "inspect", loras / "attention.safetensors")  # beside the embedded one
    assert isinstance(result.exception, CheckpointError)
    assert "has the shape [2, 32], but this model's layer asks for [2, 256]" in str(
        result.exception
    )


def test_words_are_names_or_files_with_scales(loras: Path) -> None:
    everything, attention = (loras / f"{name}.safetensors" for name in ("everything", "attention"))
    assert list(read_adapters(["everything:0.5", f"{attention}"], loras).items()) == [
        (attention, Adapter("attention", 1.0)),
        (everything, Adapter("everything", 0.5)),
    ]
    assert read_adapters([f"{everything}:2"], None) == {everything: Adapter("everything", 2.0)}


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["oil:0.5"], "oil is neither a file nor a name; there are: attention, everything"),
        (["everything:x"], "everything:x is neither a file nor a name"),
        (["everything:2.1"], "the scale must be a number from 0 to 2"),
        (["everything:nan"], "the scale must be a number from 0 to 2"),
        (["everything", "everything:0.5"], "everything is given twice"),
    ],
)
def test_words_that_choose_nothing_are_refused(loras: Path, words: list[str], refusal: str) -> None:
    with pytest.raises(InvalidRequestError, match=re.escape(refusal)):
        read_adapters(words, loras)


def test_picture_is_painted_with_an_adapter_and_says_so(
    checkpoint: Path, loras: Path, tmp_path: Path
) -> None:
    words = ("generate", "a cat", "--steps", "2", "--model", checkpoint)
    plain, changed = tmp_path / "plain.png", tmp_path / "changed.png"
    assert run(*words, "-o", plain).exit_code == 0
    file = loras / "everything.safetensors"
    assert run(*words, "-o", changed, "--lora", f"{file}:0.5").exit_code == 0
    with Image.open(plain) as first, Image.open(changed) as second:
        assert first.tobytes() != second.tobytes()
        said = [
            json.loads(each.getexif()[ExifTags.Base.ImageDescription]) for each in (first, second)
        ]
    assert "loras" not in said[0]
    assert said[1]["loras"] == [{"name": "everything", "scale": 0.5}]
