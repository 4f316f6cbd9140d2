from pathlib import Path

import pytest
import torch

from photogram.core.errors import ConfigurationError
from photogram.pipeline.device import choose_device, choose_precision
from photogram.pipeline.flux import Pipeline
from tests.tiny import write_checkpoint


def test_cpu_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in {"cpu", "cuda"}
    assert choose_precision(torch.device("cpu"), None) in {"float32", "bfloat16"}


@pytest.mark.parametrize("name", ["cuda:99", "meta", "toaster"])
def test_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        choose_device(name)


def test_float8_is_for_gpus_that_have_it(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    with pytest.raises(ConfigurationError, match="cpu does not multiply in float8_e4m3fn"):
        Pipeline.from_pretrained(folder, "cpu", torch.float8_e4m3fn)


def test_model_that_does_not_fit_is_refused_with_what_it_needs(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    with pytest.raises(
        ConfigurationError, match=r"may be taken, but Tiny needs \S+ GiB in float32"
    ):
        Pipeline.from_pretrained(folder, "cpu", "float32", memory=2**29)
    pipeline = Pipeline.from_pretrained(folder, "cpu", "float32", memory=2 * 2**30)
    assert pipeline.plan.peak_bytes <= 2 * 2**30


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'int4' is no precision; known are float32"):
        choose_precision(torch.device("cpu"), "int4")
