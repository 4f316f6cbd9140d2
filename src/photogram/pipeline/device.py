"""Where the networks run, and in which precision.

In: a device's name as an operator writes it. Out: a device that is there, the fastest precision
that it computes in, and what of a checkpoint it has room for. It loads no network.
"""

import torch

from photogram.core.errors import ConfigurationError
from photogram.weights.locate import Checkpoint
from photogram.weights.plan import GIB, Plan, Precision, choose_plan, least_plan, shapes_of

FLOAT8_CAPABILITY = (8, 9)
"""The first GPUs that multiply in float8: Ada and Hopper."""


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


def choose_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies in it, else float32."""
    if device.type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_bf16 = torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.bfloat16 if has_bf16 else torch.float32


def plan_for(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> Plan | None:
    """What of a checkpoint goes on a GPU, in bfloat16 or float8; None where everything does.

    Raises:
        ConfigurationError: It has no room for it, or does not multiply in float8.
    """
    is_float8 = dtype == torch.float8_e4m3fn
    if is_float8 and (
        device.type != "cuda" or torch.cuda.get_device_capability(device) < FLOAT8_CAPABILITY
    ):
        raise ConfigurationError(f"{device} does not multiply in float8_e4m3fn")
    if device.type != "cuda" or dtype == torch.float32:
        return None
    shapes = shapes_of(checkpoint)
    device_bytes = torch.cuda.get_device_properties(device).total_memory
    precision: Precision = "float8_e4m3fn" if is_float8 else "bfloat16"
    plan = choose_plan(shapes, precision, device_bytes)
    if plan is None:
        least = least_plan(shapes, precision)
        raise ConfigurationError(
            f"{device} has {device_bytes / GIB:.1f} GiB, but {checkpoint.model.name} needs "
            f"{least.peak_bytes / GIB:.1f} GiB in {precision}"
        )
    return plan
