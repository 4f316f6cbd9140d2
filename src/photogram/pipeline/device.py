"""Where the networks run, and in which precision.

In: a device's name, a precision and an amount of memory as an operator writes them. Out: a device
that is there, the fastest exact precision that it computes in, and what of a checkpoint it has room
for. It loads no network.
"""

import os
import resource
from pathlib import Path
from typing import get_args

import torch

from photogram.core.errors import ConfigurationError
from photogram.weights.locate import Checkpoint
from photogram.weights.packing import Precision
from photogram.weights.plan import GIB, Plan, choose_plan, least_plan
from photogram.weights.sizes import Shapes, shapes_of

FLOAT8_CAPABILITY = (8, 9)
"""The first GPUs that multiply in float8: Ada and Hopper."""

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""What a container may take, or ``max``."""


def choose_device(name: str) -> torch.device:
    """The device of a name.

    Args:
        name: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ConfigurationError: There is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigurationError(f"{name!r} is not the name of a device") from None
    if device.type == "cuda":
        num_devices = torch.cuda.device_count()
        if (device.index or 0) >= num_devices:
            raise ConfigurationError(f"there is no device {name}: {num_devices} GPUs were found")
    elif device.type != "cpu":
        raise ConfigurationError(f"the device {name} is not supported; known are cpu and cuda")
    return device


def choose_precision(device: torch.device, asked: torch.dtype | str | None) -> Precision:
    """The precision that is asked for, or the fastest exact one.

    That is bfloat16 where the hardware multiplies in it, else float32.

    Args:
        device: Where it is wanted.
        asked: A word of the setting ``dtype``, or torch's own name; None is ``auto``.

    Raises:
        ConfigurationError: There is no such precision, or not on this device.
    """
    if asked in (None, "auto"):
        return "bfloat16" if _has_bfloat16(device) else "float32"
    name = str(asked).removeprefix("torch.")
    for precision in get_args(Precision):
        if name == precision:
            break
    else:
        known = ", ".join(get_args(Precision))
        raise ConfigurationError(f"{name!r} is no precision; known are {known}")
    if name == "float8_e4m3fn" and (
        device.type != "cuda" or torch.cuda.get_device_capability(device) < FLOAT8_CAPABILITY
    ):
        raise ConfigurationError(f"{device} does not multiply in float8_e4m3fn; int8 is as small")
    chosen: Precision = precision
    return chosen


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        on_gpu: bool = torch.cuda.is_bf16_supported(including_emulation=False)
        return on_gpu
    has_bf16: bool = torch.cpu.get_capabilities().get("avx512_bf16", False)
    return has_bf16


def memory_of(device: torch.device) -> int:
    """Bytes of a device's memory; on a CPU, of what this process may take of the host's."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(host, int(_CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):
        return host


def peak_of(device: torch.device) -> int:
    """The most bytes of a device's memory that this process has held so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def plan_for(
    checkpoint: Checkpoint, device: torch.device, precision: Precision, memory: int | None = None
) -> Plan:
    """What of a checkpoint goes on a device.

    Args:
        checkpoint: What shall run there.
        device: Where.
        precision: From `choose_precision`.
        memory: Bytes that may be taken at most; None: all that the device has.

    Raises:
        ConfigurationError: It has no room for it; the message says what would be needed.
    """
    shapes, is_host = shapes_of(checkpoint), device.type == "cpu"
    device_bytes = memory_of(device)
    allowed = device_bytes if memory is None else min(memory, device_bytes)
    plan = choose_plan(shapes, precision, allowed, is_host=is_host)
    if plan is None:
        raise ConfigurationError(
            f"{device} has {device_bytes / GIB:.1f} GiB, of which {allowed / GIB:.1f} may be taken, "
            f"but {checkpoint.model.name} needs {_needs(shapes, precision, is_host=is_host)}"
        )
    if device.type == "cuda" and memory is not None:  # beyond it, pictures step alone or fail
        torch.cuda.set_per_process_memory_fraction(allowed / device_bytes, device)
    return plan


def _needs(shapes: Shapes, precision: Precision, *, is_host: bool) -> str:
    """The least memory in a precision, and in those that need less."""
    least: dict[Precision, int] = {
        each: least_plan(shapes, each, is_host=is_host).peak_bytes
        for each in get_args(Precision)
        if not (is_host and each == "float8_e4m3fn")
    }
    smaller = {name: size for name, size in least.items() if size < least[precision]}
    told = {precision: least[precision], **smaller}
    return ", ".join(f"{size / GIB:.1f} GiB in {name}" for name, size in told.items())
