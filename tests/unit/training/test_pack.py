"""The data pack and the parts that weights travel in."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file as save_torch

from training.data.pictures import Concept, PictureStore
from training.data.sources import SOURCES
from training.pack.bundle import TEXT_FILES, PackTooLargeError, decode, encode, pack, unpack
from training.pack.shards import join, split
from training.pack.weights import average_of_run

APPLE = Concept("apple", "A", (), None, takes_colour=False)


def disc(red: int) -> np.ndarray:
    y, x = np.mgrid[:256, :256]
    rgba = np.zeros((256, 256, 4), np.uint8)
    rgba[(x - 128) ** 2 + (y - 128) ** 2 < 100**2] = (red, 80, 40, 255)
    return rgba


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    for name in TEXT_FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    (folder / "pictures").mkdir()
    for index, source in enumerate(SOURCES):
        rgba = np.stack([disc(20 * index), disc(255)])
        save_file({"rgba": rgba}, folder / "pictures" / f"{source.key}.safetensors")
        rows = [{"emoji": "A"}, {"emoji": "B"}]
        (folder / "pictures" / f"{source.key}.json").write_text(json.dumps(rows))
    return folder


def test_a_packed_picture_is_nearly_the_same() -> None:
    rgba = disc(200)
    again = decode(encode(rgba, quality=30))
    error = (again.astype(float) - rgba)[rgba[..., 3] == 255]
    assert np.sqrt(np.square(error).mean()) < 6


def test_a_pack_opens_as_a_work_folder_with_the_concepts_alone(work: Path, tmp_path: Path) -> None:
    pack(work, [APPLE], tmp_path / "data.zip", quality=30, limit=10**6)
    counts = unpack(tmp_path / "data.zip", tmp_path / "bare")
    store = PictureStore(tmp_path / "bare" / "pictures")
    assert set(counts.values()) == {1}
    assert {picture.emoji for picture in store.pictures} == {"A"}
    assert len(store.of_concept(APPLE)) == len(SOURCES)
    assert store.rgba(store.pictures[0]).shape == (256, 256, 4)
    for name in TEXT_FILES:
        assert (tmp_path / "bare" / name).read_text(encoding="utf-8") == name


def test_a_pack_that_is_open_is_not_opened_again(work: Path, tmp_path: Path) -> None:
    pack(work, [APPLE], tmp_path / "data.zip", quality=30, limit=10**6)
    unpack(tmp_path / "data.zip", tmp_path / "bare")
    path = tmp_path / "bare" / "pictures" / "noto.safetensors"
    before = path.stat().st_mtime_ns
    unpack(tmp_path / "data.zip", tmp_path / "bare")
    assert path.stat().st_mtime_ns == before


def test_a_pack_over_the_limit_is_refused(work: Path, tmp_path: Path) -> None:
    with pytest.raises(PackTooLargeError, match="100 are allowed"):
        pack(work, [APPLE], tmp_path / "data.zip", quality=30, limit=100)


def test_parts_join_to_the_same_file(tmp_path: Path) -> None:
    save_file({"x": np.arange(1000)}, tmp_path / "state.safetensors")
    parts = split(tmp_path / "state.safetensors", tmp_path / "parts", limit=1024)
    assert len(parts) > 2
    assert all(path.stat().st_size <= 1024 for path in parts)
    join(tmp_path / "parts", tmp_path / "again" / "state.safetensors")
    assert (load_file(tmp_path / "again" / "state.safetensors")["x"] == np.arange(1000)).all()


def test_a_missing_or_altered_part_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(100))
    parts = split(tmp_path / "file", tmp_path / "parts", limit=40)
    parts[1].write_bytes(b"other")
    with pytest.raises(ValueError, match="not those of its index"):
        join(tmp_path / "parts", tmp_path / "again")
    parts[1].unlink()
    with pytest.raises(ValueError, match=r"lacks part-01\.bin"):
        join(tmp_path / "parts", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_only_the_average_travels_and_the_progress_with_it(tmp_path: Path) -> None:
    tensors = {"average.x": torch.tensor([1.5]), "master.x": torch.tensor([2.5])}
    save_torch(tensors, tmp_path / "state.safetensors", {"progress": '{"steps": 7}'})
    average_of_run(tmp_path / "state.safetensors", tmp_path / "out" / "average.safetensors")
    out = load_torch(tmp_path / "out" / "average.safetensors")
    assert set(out) == {"average.x"}
    assert out["average.x"].dtype == torch.bfloat16
    assert float(out["average.x"]) == 1.5
