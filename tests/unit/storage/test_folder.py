import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from photogram.core.errors import ConfigurationError, StorageError
from photogram.storage.folder import DataFolder


def test_a_missing_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = DataFolder.open(tmp_path / "deep" / "data")
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert folder.database_path.parent == folder.path
    assert list(folder.path.iterdir()) == []


def test_a_file_is_refused_as_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.touch()
    with pytest.raises(StorageError, match="is not a folder"):
        DataFolder.open(path)
    with pytest.raises(StorageError, match="is not a folder"):
        DataFolder.open(path / "below")


def test_a_folder_that_cannot_be_written_is_refused_by_name() -> None:
    with pytest.raises(StorageError, match=r"/proc/photogram cannot be written"):
        DataFolder.open(Path("/proc/photogram"))


def test_a_second_server_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    with DataFolder.open(tmp_path) as first:
        first.lock()
        second = DataFolder.open(tmp_path)
        with pytest.raises(ConfigurationError, match=f"already uses the data folder {tmp_path}"):
            second.lock()
    second.lock()
    second.close()
    second.close()


def test_a_lock_that_cannot_be_taken_is_told(tmp_path: Path) -> None:
    (tmp_path / "server.lock").mkdir()
    with DataFolder.open(tmp_path) as folder, pytest.raises(StorageError, match="be locked"):
        folder.lock()


def test_killing_a_server_frees_its_lock(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path;"
        "from photogram.storage.folder import DataFolder;"
        "folder = DataFolder.open(Path(sys.argv[1])); folder.lock();"
        "print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"locked\n"
        with pytest.raises(ConfigurationError):
            DataFolder.open(tmp_path).lock()
        server.send_signal(signal.SIGKILL)
        server.wait()
    with DataFolder.open(tmp_path) as folder:
        folder.lock()


def test_the_pepper_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    pepper = DataFolder.open(tmp_path).pepper()
    assert len(pepper) == 32
    assert DataFolder.open(tmp_path).pepper() == pepper
    assert stat.S_IMODE((tmp_path / "pepper").stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "pepper"]


def test_processes_that_race_for_the_first_pepper_agree(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from photogram.storage.folder import DataFolder;"
        "print(DataFolder.open(Path(sys.argv[1])).pepper().hex())"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    assert len({racer.communicate()[0] for racer in racers}) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "pepper"]


def test_who_loses_the_race_for_the_pepper_takes_the_winners(tmp_path: Path) -> None:
    folder = DataFolder.open(tmp_path)
    winner = folder.pepper()
    folder._make_pepper(tmp_path / "pepper")
    assert folder.pepper() == winner


def test_a_damaged_pepper_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_bytes(b"short")
    with pytest.raises(StorageError, match="is damaged"):
        DataFolder.open(tmp_path).pepper()


def test_an_unreadable_pepper_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pepper").mkdir()
    with pytest.raises(StorageError, match="cannot be read"):
        DataFolder.open(tmp_path).pepper()


def test_free_space_is_that_of_the_folders_disk(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    assert DataFolder.open(tmp_path).free_bytes() == pytest.approx(
        status.f_bavail * status.f_frsize, rel=0.05
    )
