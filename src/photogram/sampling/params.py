"""The numbers of a flow-matching schedule, as ``scheduler/scheduler_config.json`` names them.

In: plain numbers. Out: checked, frozen numbers. It knows no file and no tensor.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScheduleParams:
    """How noise levels are spread over the steps.

    Source: the configuration of diffusers' `FlowMatchEulerDiscreteScheduler`, with its defaults.

    Attributes:
        num_train_timesteps: Timesteps at sigma 1; only rounding depends on it.
        shift: The static shift, used without dynamic shifting.
        use_dynamic_shifting: The shift grows with the picture: `mu` instead of `shift`.
        base_shift: `mu` at `base_image_seq_len` tokens.
        max_shift: `mu` at `max_image_seq_len` tokens.
        time_shift_type: How `mu` acts: ``exponential`` (FLUX) or ``linear``.

    Raises:
        ValueError: Numbers that make no schedule.
    """

    num_train_timesteps: int = 1000
    shift: float = 1.0
    use_dynamic_shifting: bool = False
    base_shift: float = 0.5
    max_shift: float = 1.15
    base_image_seq_len: int = 256
    max_image_seq_len: int = 4096
    time_shift_type: str = "exponential"

    def __post_init__(self) -> None:
        if self.num_train_timesteps < 1:
            raise ValueError(f"num_train_timesteps is {self.num_train_timesteps}, not positive")
        if not (math.isfinite(self.shift) and self.shift > 0):
            raise ValueError(f"shift is {self.shift}, it must be positive and finite")
        if not (math.isfinite(self.base_shift) and math.isfinite(self.max_shift)):
            raise ValueError(
                f"base_shift {self.base_shift} and max_shift {self.max_shift} must be finite"
            )
        if self.base_image_seq_len >= self.max_image_seq_len:
            raise ValueError(
                f"base_image_seq_len {self.base_image_seq_len} is not below "
                f"max_image_seq_len {self.max_image_seq_len}"
            )
        if self.time_shift_type not in {"exponential", "linear"}:
            raise ValueError(
                f"time_shift_type is {self.time_shift_type!r}, known are exponential and linear"
            )
