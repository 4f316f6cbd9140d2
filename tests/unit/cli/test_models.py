"""``photogram models inspect`` says what a checkpoint is, what it lacks and what it needs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from photogram.cli.main import app
from photogram.core.errors import CheckpointError
from tests.unit.weights.holes import write_gguf, write_safetensors
from tests.unit.weights.test_single_files import all_in_one, packed, transformer


def inspect(path: Path) -> Result:
    return CliRunner().invoke(app, ["models", "inspect", str(path)])


def facts(result: Result) -> dict[str, str]:
    lines = [line for line in result.output.splitlines() if line[:1] not in {"", " "}]
    return {line[:17].strip(): line[17:].strip() for line in lines}


def test_file_for_all_is_described_without_being_loaded(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "flux1-dev-fp8.safetensors", all_in_one())
    for name in ("tokenizer", "tokenizer_2"):
        (tmp_path / name).mkdir()
        config = json.dumps({"model_max_length": 77})
        (tmp_path / name / "tokenizer_config.json").write_text(config)
    result = inspect(tmp_path / "flux1-dev-fp8.safetensors")
    assert result.exit_code == 0
    said = facts(result)
    assert said["model"] == "flux1-dev-fp8 (flux1-dev-fp8)"
    assert said["guidance"] == "embedded, as in [dev]"
    assert said["transformer"] == "19 double and 38 single blocks, 24 heads, width 3072"
    assert said["memory, CPU"].startswith("20.4 GiB of weights in bfloat16")
    assert said["memory, GPU"].endswith("the transformer as packed as its file")
    for words in ("11,901,408,320", "83,819,683", "4,762,310,656", "float8_e4m3fn"):
        assert words in result.output


@pytest.mark.parametrize("is_packed", [False, True])
def test_transformer_alone_is_described_with_what_it_lacks(tmp_path: Path, is_packed: bool) -> None:
    if is_packed:
        path = tmp_path / "flux1-dev-Q4_K_S.gguf"
        write_gguf(path, packed("Q4_K"))
    else:
        path = tmp_path / "flux1-schnell.safetensors"
        write_safetensors(path, transformer(has_guidance=False))
    result = inspect(path)
    assert isinstance(result.exception, CheckpointError)
    assert result.exception.message.endswith(
        "cannot be served: vae, text_encoder, text_encoder_2, tokenizer, tokenizer_2 missing"
    )
    said = facts(result)
    assert said["guidance"].endswith("[dev]" if is_packed else "[schnell]")
    assert "an autoencoder is missing" in said["no vae"]
    assert "a T5 text encoder is missing" in said["no text_encoder_2"]
    assert "is missing; it is a folder" in said["no tokenizer_2"]
    assert ("Q4_K" if is_packed else "bfloat16") in result.output


def test_incomplete_transformer_is_named_before_what_lies_beside_it(tmp_path: Path) -> None:
    tensors = transformer()
    del tensors["single_blocks.37.linear2.bias"]
    write_safetensors(tmp_path / "flux1-dev.safetensors", tensors)
    result = inspect(tmp_path)
    assert isinstance(result.exception, CheckpointError)
    assert "single_blocks.37.linear2.bias is missing" in result.exception.message


def test_name_that_the_system_refuses_is_told(tmp_path: Path) -> None:
    result = inspect(tmp_path / ("x" * 300))
    assert isinstance(result.exception, CheckpointError)
    assert result.exception.message.endswith("cannot be read: File name too long")
