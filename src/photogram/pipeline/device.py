"""Where the networks run, and in which precision.

In: a device's name as an operator writes it. Out: a device that is there, and the fastest precision
that it computes in. It knows no network.
"""

import torch

from photogram.core.errors import ConfigurationError


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
