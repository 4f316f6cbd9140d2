"""What a run was made on: the machine, the versions, the code."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

_PACKAGES = (
    "photogram",
    "torch",
    "diffusers",
    "transformers",
    "fastapi",
    "uvicorn",
    "httpx",
    "openvino",
    "onnxruntime",
)
_KIB_PER_GIB = 1024**2
_CPU_FEATURES = ("avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Facts without which a time means nothing.

    Attributes:
        cpu: The processor's name.
        features: Its vector instructions, of those that matter here.
        versions: Package -> version, of what is installed.
        commit: Of the code measured; ends in ``-dirty`` if files differ from it.
    """

    measured_at: str
    cpu: str
    cores: int
    memory_gib: int
    features: tuple[str, ...]
    python: str
    versions: dict[str, str]
    commit: str


def describe() -> Machine:
    """This machine, now."""
    cpu_info = Path("/proc/cpuinfo").read_text()
    flags = (re.search(r"^flags\s*:(.*)$", cpu_info, re.MULTILINE) or [" ", " "])[1].split()
    name = (re.search(r"^model name\s*:\s*(.*)$", cpu_info, re.MULTILINE) or ["", "unknown"])[1]
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return Machine(
        measured_at=datetime.now(UTC).isoformat(timespec="minutes"),
        cpu=name,
        cores=os.cpu_count() or 1,
        memory_gib=int(memory[1]) // _KIB_PER_GIB if memory else 0,
        features=tuple(feature for feature in _CPU_FEATURES if feature in flags),
        python=platform.python_version(),
        versions={name: found for name in _PACKAGES if (found := _version(name))},
        commit=_commit(),
    )


def in_words(machine: Machine) -> str:
    """One line for the head of a report."""
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    return (
        f"{machine.measured_at}, commit {machine.commit}, {machine.cores} cores of {machine.cpu} "
        f"({', '.join(machine.features)}), {machine.memory_gib} GiB, Python {machine.python}, {versions}"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 whichever git there is
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
