"""Packages of npm that tests need, installed once and kept with pytest's cache."""

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL_TIMEOUT_S = 60


@pytest.fixture(scope="module")
def axios(pytestconfig: pytest.Config) -> Path:
    """The folder of modules that axios is in."""
    return _modules(pytestconfig, "axios", "1")


@pytest.fixture(scope="module")
def axe(pytestconfig: pytest.Config) -> str:
    """The script of axe-core, which finds what keeps people from using a page."""
    return (_modules(pytestconfig, "axe-core", "4") / "axe-core/axe.min.js").read_text()


def _modules(config: pytest.Config, package: str, version: str) -> Path:
    assert config.cache is not None
    folder = config.cache.mkdir(package)
    modules = folder / "node_modules"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests of another process may need it as well
        if not (modules / package).is_dir():
            _install(folder, f"{package}@{version}")
    return modules


def _install(folder: Path, package: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), package]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_TIMEOUT_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"{package} could not be installed from npm")
