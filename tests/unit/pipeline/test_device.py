from pathlib import Path

import pytest
import torch

from photogram.core.errors import ConfigurationError
from photogram.pipeline.device import choose_device, choose_dtype
from photogram.pipeline.flux import Pipeline
from tests.tiny import write_checkpoint


def test_cpu_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in {"cpu", "cuda"}
    assert choose_dtype(torch.device("cpu")) in {torch.float32, torch.bfloat16}


@pytest.mark.parametrize("name", ["cuda:99", "meta", "toaster"])
def test_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        choose_device(name)


def test_float8_is_for_gpus_that_have_it(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    with pytest.raises(ConfigurationError, match="cpu does not multiply in float8_e4m3fn"):
        Pipeline.from_pretrained(folder, "cpu", torch.float8_e4m3fn)
