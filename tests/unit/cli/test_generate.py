"""``photogram generate`` from a picture; from noise, the acceptance tests run it."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from photogram.cli.main import app
from photogram.core.errors import InvalidRequestError
from tests.tiny import write_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.linear_gradient("L").resize((64, 32)).convert("RGB").save(path)
    return path


def generate(model: Path, output: Path, *words: str) -> Result:
    command = ["generate", "a red cat", "-o", str(output), "--steps", "4", "--model", str(model)]
    return CliRunner().invoke(app, [*command, "--device", "cpu", *words])


def test_a_picture_from_a_picture_has_its_shape_and_tells_the_steps_that_ran(
    model: Path, picture: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.png"
    words = ("--image", str(picture), "--prompt-strength", "0.5", "--aspect-ratio", "1:1")
    result = generate(model, output, *words)
    assert result.exit_code == 0, result.output
    assert "2 of 4 steps" in result.output
    assert "--aspect-ratio has no effect" in result.stderr
    with Image.open(output) as painted:
        assert painted.size == (80, 48)
        told = json.loads(painted.info["parameters"])
    assert (told["steps"], told["first_step"]) == (4, 2)


def test_a_mask_changes_the_picture(model: Path, picture: Path, tmp_path: Path) -> None:
    painted = []
    for name, mask in (("whole", []), ("masked", ["--mask", str(picture)])):
        output = tmp_path / f"{name}.png"
        assert generate(model, output, "--image", str(picture), *mask).exit_code == 0
        painted.append(output.read_bytes())
    assert painted[0] != painted[1]


def test_a_mask_without_a_picture_and_files_that_are_none_are_named(
    model: Path, picture: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.png"
    result = generate(model, output, "--mask", str(picture))
    assert isinstance(result.exception, InvalidRequestError)
    assert result.exception.message.startswith("mask:")
    result = generate(model, output, "--image", str(tmp_path / "missing.png"))
    assert result.exit_code == 2
    assert "missing.png" in result.stderr.replace("\n", "")
    assert not output.exists()
