"""The folder of adapters is read as it is now."""

from pathlib import Path

from photogram.core.adapters import adapter_files


def test_files_are_offered_by_name_as_they_come_and_go(tmp_path: Path) -> None:
    assert adapter_files(tmp_path) == {}
    for name in ("b v1.2.safetensors", "a.safetensors", ".c.safetensors.part", ".d.safetensors"):
        (tmp_path / name).touch()
    for name in ("notes.txt", "e.SAFETENSORS", "line\nbreak.safetensors"):
        (tmp_path / name).touch()
    assert adapter_files(tmp_path) == {
        "a": tmp_path / "a.safetensors",
        "b v1.2": tmp_path / "b v1.2.safetensors",
    }
    (tmp_path / "a.safetensors").unlink()
    assert list(adapter_files(tmp_path)) == ["b v1.2"]


def test_no_folder_has_no_adapters(tmp_path: Path) -> None:
    assert adapter_files(None) == {}
    assert adapter_files(tmp_path / "gone") == {}
