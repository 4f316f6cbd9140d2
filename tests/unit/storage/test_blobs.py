import errno
import os
import time
from pathlib import Path

import pytest

from photogram.core.errors import ConfigurationError, NotFoundError, StorageError
from photogram.storage.blobs import BlobFolder, new_blob_name

_HOURS_2 = 7200


@pytest.fixture
def folder(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path)


def _age(path: Path, seconds: float) -> None:
    then = time.time() - seconds  # noqa: TID251 - a file's own clock
    os.utime(path, (then, then))


def test_files_come_back_by_their_names(folder: BlobFolder) -> None:
    blobs = {new_blob_name("png"): b"one", new_blob_name("webp"): b""}
    folder.write(blobs)
    assert {name: folder.read(name) for name in blobs} == blobs
    assert {name for name, _ in folder.names()} == set(blobs)


def test_no_two_names_are_alike() -> None:
    assert len({new_blob_name("png") for _ in range(1_000)}) == 1_000


def test_nobody_else_may_read_them(folder: BlobFolder, tmp_path: Path) -> None:
    made = BlobFolder(tmp_path / "made")
    made.prepare()
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
    name = new_blob_name("png")
    made.write({name: b"x"})
    assert (tmp_path / "made" / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "name", ["../secret", "pepper", "a.png", "/etc/passwd", "", "0" * 32 + ".png/.."]
)
def test_no_name_leads_out_of_the_folder(folder: BlobFolder, name: str) -> None:
    with pytest.raises(NotFoundError):
        folder.read(name)


def test_what_is_not_there_is_told_and_removed_in_peace(folder: BlobFolder) -> None:
    name = new_blob_name("png")
    with pytest.raises(NotFoundError):
        folder.read(name)
    folder.remove([name])


def test_each_file_and_then_the_folder_are_synchronised(
    folder: BlobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, bool]] = []
    sync = os.fsync

    def watch(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        are_in_place = all(name.suffix != ".part" for name in tmp_path.iterdir())
        seen.append((path.suffix, are_in_place))
        sync(fd)

    monkeypatch.setattr(os, "fsync", watch)
    folder.write({new_blob_name("png"): b"1", new_blob_name("png"): b"2"})
    assert seen == [(".part", False), (".part", False), ("", True)]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_of_a_write_that_a_disk_refuses_nothing_is_left(
    folder: BlobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    left = [number]

    def refuse(fd: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match=r"Input/output error.*nothing was billed"):
        folder.write({new_blob_name("png"): b"1", new_blob_name("png"): b"2"})
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_left_half_written_goes_with_age(
    folder: BlobFolder, tmp_path: Path
) -> None:
    old, young = (tmp_path / f"{digit * 32}.part" for digit in "ab")
    for draft in (old, young):
        draft.write_bytes(b"half")
    _age(old, _HOURS_2)
    folder.prepare()
    assert list(tmp_path.iterdir()) == [young]
    assert [name for name, _ in folder.names()] == [young.name]  # so a sweep finds it too


def test_a_floor_is_kept(tmp_path: Path) -> None:
    BlobFolder(tmp_path).check_space()
    with pytest.raises(StorageError, match="nearly full"):
        BlobFolder(tmp_path, floor_bytes=2**62).check_space()


class TestOwner:
    def test_an_empty_folder_becomes_the_databases_and_stays_it(
        self, folder: BlobFolder, tmp_path: Path
    ) -> None:
        folder.claim("ours")
        folder.write({new_blob_name("png"): b"x"})
        folder.claim("ours")
        assert (tmp_path / "database").read_text() == "ours\n"
        assert len(list(folder.names())) == 1

    def test_another_databases_folder_is_refused_by_both_names(self, folder: BlobFolder) -> None:
        folder.claim("theirs")
        with pytest.raises(ConfigurationError, match=r"'theirs'.*'ours'"):
            folder.claim("ours")

    def test_files_of_nobody_knows_whom_are_refused_until_somebody_says_whose(
        self, folder: BlobFolder, tmp_path: Path
    ) -> None:
        folder.write({new_blob_name("png"): b"x"})
        with pytest.raises(ConfigurationError, match=r"write its id ours into .*/database;"):
            folder.claim("ours")
        assert not (tmp_path / "database").exists()
        (tmp_path / "database").write_text("ours")
        folder.claim("ours")

    def test_a_folder_that_cannot_be_read_is_a_storage_error(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError):
            BlobFolder(tmp_path / "nothing").claim("ours")
