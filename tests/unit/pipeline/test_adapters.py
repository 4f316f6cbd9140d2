"""Adapters are loaded as their files are now, kept within a bound, and change nobody else's picture."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from photogram.core.errors import CheckpointError, InvalidRequestError
from photogram.model.adapters import Adapter
from photogram.pipeline.adapters import AdapterShelf
from photogram.pipeline.flux import Pipeline
from photogram.weights.load import load_transformer
from photogram.weights.locate import inspect
from tests import forms
from tests.adapters import layer_shapes, random_lora, save, write_adapters
from tests.tiny import write_checkpoint

Write = Callable[[str, int], Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tiny"), seed=3)


@pytest.fixture(scope="module")
def loras(folder: Path) -> Path:
    return write_adapters(folder)


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Pipeline:
    return Pipeline.from_pretrained(folder, device="cpu", dtype=torch.float32)


def paint(pipeline: Pipeline, *adapters: tuple[Adapter, float]) -> NDArray[np.uint8]:
    picture = pipeline.start("a red cat", 64, 64, 3, 2.0, 7, adapters)
    while not picture.is_done:
        pipeline.step([picture])
    return pipeline.decode(picture)


def test_adapter_without_strength_is_none(pipeline: Pipeline, loras: Path) -> None:
    everything = pipeline.load_adapter(loras / "everything.safetensors")
    plain = paint(pipeline)
    assert np.array_equal(paint(pipeline, (everything, 0.0)), plain)
    assert not np.array_equal(paint(pipeline, (everything, 0.1)), plain)
    assert np.array_equal(paint(pipeline), plain)


def test_strength_that_is_no_number_is_refused(pipeline: Pipeline, loras: Path) -> None:
    with pytest.raises(InvalidRequestError, match="loras: nan is not a finite number"):
        pipeline.generate("a cat", loras={loras / "attention.safetensors": float("nan")})


def test_adapter_on_packed_weights_is_the_same(folder: Path, loras: Path, tmp_path: Path) -> None:
    """The changes are added to the product, in whatever form the weights are."""
    meant = forms.write_gguf(tmp_path / "q.gguf", forms.transformer(folder), "Q8_0")
    packed = forms.strip(folder, tmp_path / "packed", "transformer")
    plain = forms.strip(folder, tmp_path / "plain", "transformer")
    shutil.copy(tmp_path / "q.gguf", packed / "q.gguf")
    forms.save(plain / "q.safetensors", meant)
    pictures = [
        paint(pipeline, (pipeline.load_adapter(loras / "everything.safetensors"), 0.5))
        for path in (packed / "q.gguf", plain / "q.safetensors")
        for pipeline in [Pipeline.from_pretrained(path, device="cpu", dtype=torch.float32)]
    ]
    assert np.array_equal(*pictures)


class TestShelf:
    @pytest.fixture
    def shelf(self, folder: Path) -> AdapterShelf:
        cpu = torch.device("cpu")
        return AdapterShelf(
            load_transformer(inspect(folder), cpu, torch.float32), cpu, most_bytes=20_000
        )

    @pytest.fixture
    def write(self, folder: Path, tmp_path: Path) -> Write:
        shapes = layer_shapes(inspect(folder).transformer, "diffusers")
        one = {"transformer_blocks.0.ff.net.2": shapes["transformer_blocks.0.ff.net.2"]}

        def write(name: str, rank: int) -> Path:
            return save(tmp_path / f"{name}.safetensors", random_lora(one, rank))

        return write

    def test_what_was_loaded_is_kept(self, shelf: AdapterShelf, write: Write) -> None:
        path = write("a", 1)
        assert shelf.get(path) is shelf.get(path)

    def test_file_that_was_replaced_is_loaded_anew(self, shelf: AdapterShelf, write: Write) -> None:
        path = write("a", 1)
        old = shelf.get(path)
        write("new", 2).replace(path)
        assert shelf.get(path).size_bytes == 2 * old.size_bytes

    def test_least_recently_used_is_forgotten(self, shelf: AdapterShelf, write: Write) -> None:
        paths = [write(name, 10) for name in "abc"]  # two of them fill the shelf
        a, b = shelf.get(paths[0]), shelf.get(paths[1])
        assert a.size_bytes == 6400
        assert shelf.get(paths[0]) is a
        shelf.get(write("large", 20))
        assert shelf.get(paths[0]) is a
        assert shelf.get(paths[1]) is not b

    def test_one_that_is_larger_than_the_shelf_is_loaded(
        self, shelf: AdapterShelf, write: Write
    ) -> None:
        path = write("huge", 40)
        assert shelf.get(path).size_bytes > 20_000
        assert shelf.get(path) is shelf.get(path)

    def test_file_that_is_gone_is_told(self, shelf: AdapterShelf, tmp_path: Path) -> None:
        with pytest.raises(
            CheckpointError, match=r"gone\.safetensors cannot be read: No such file"
        ):
            shelf.get(tmp_path / "gone.safetensors")

    def test_what_is_no_file_is_not_waited_for(self, shelf: AdapterShelf, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe.safetensors"
        os.mkfifo(pipe)
        with pytest.raises(CheckpointError, match="is no file"):
            shelf.get(pipe)
