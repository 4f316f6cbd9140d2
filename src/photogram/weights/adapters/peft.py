"""By what PEFT multiplies an adapter's changes: numbers that diffusers writes beside its tensors.

In: the metadata of a safetensors file. Out: the factor of every layer. It knows no tensor.

Source: huggingface/peft tuners/lora/layer.py `LoraLayer.update_layer` (the factor) and utils/other.py
`get_pattern_key`; huggingface/diffusers loaders/lora_base.py (where it is written).
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from photogram.core.errors import CheckpointError
from photogram.weights.configs import Config

_KEY = "lora_adapter_metadata"
_OURS = "transformer."
_PLAIN_PATTERN = re.compile(r"\^?[\w.]+")


@dataclass(frozen=True, slots=True)
class PeftConfig:
    """What decides the factors.

    Attributes:
        alpha: Of layers that no pattern names.
        alphas: Of the others, by the end of their names.
        is_by_root: The change is divided by the root of the rank instead of the rank.
    """

    alpha: float
    alphas: Mapping[str, float]
    is_by_root: bool

    def factor(self, layer: str, rank: int) -> float:
        """What a layer's change is multiplied by."""
        named = (
            alpha
            for name, alpha in self.alphas.items()
            if layer == name or layer.endswith(f".{name}")
        )
        return next(named, self.alpha) / (math.sqrt(rank) if self.is_by_root else rank)


def read_peft_config(path: Path, metadata: Mapping[str, str]) -> PeftConfig | None:
    """The configuration that a file states; None if it states none.

    Raises:
        CheckpointError: It is damaged, or asks for more than LoRA.
    """
    if _KEY not in metadata:
        return None
    try:
        values = json.loads(metadata[_KEY])
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: {_KEY} in its header is not a JSON object")
    own = {
        name.removeprefix(_OURS): value for name, value in values.items() if name.startswith(_OURS)
    }
    if not own:
        return None
    config = Config(path, own)
    if config.is_set("use_dora"):
        raise config.wrong("use_dora", "false: DoRA is not supported")
    patterns = config.table("alpha_pattern")
    for name in patterns.names:
        if _PLAIN_PATTERN.fullmatch(name) is None:
            raise CheckpointError(f"{path}: alpha_pattern {name!r} is more than a layer's name")
    return PeftConfig(
        alpha=config.number("lora_alpha"),
        alphas={name.removeprefix("^"): patterns.number(name) for name in patterns.names},
        is_by_root=config.is_set("use_rslora"),
    )
