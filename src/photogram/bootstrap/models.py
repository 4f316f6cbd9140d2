"""Finds the checkpoint that is served, and says how its worker is started.

Settings come in; a folder or the words for a worker process come out. It loads nothing.
"""

from pathlib import Path

from photogram.core.errors import CheckpointError, ConfigurationError
from photogram.core.settings import Settings
from photogram.engine.batching import StepLimits
from photogram.engine.process import WorkerConfig

_EMBEDDED_MODELS = Path(__file__).parents[3] / "models"


def model_folder(settings: Settings) -> Path:
    """The checkpoint to serve: the one that is set, or the embedded one.

    Raises:
        CheckpointError: No model is set, and there is no embedded one.
    """
    if settings.model is not None:
        return settings.model
    embedded = sorted(path.parent for path in _EMBEDDED_MODELS.glob("*/model_index.json"))
    if not embedded:
        raise CheckpointError("no embedded model was found; name a checkpoint folder with --model")
    return embedded[0]


def worker_config(settings: Settings, model: Path) -> WorkerConfig:
    """How the worker of a model is started.

    Raises:
        ConfigurationError: The folder of adapters is none.
    """
    if settings.loras is not None and not settings.loras.is_dir():
        raise ConfigurationError(f"PHOTOGRAM_LORAS: {settings.loras} is not a folder")
    return WorkerConfig(
        model=str(model),
        device=settings.device,
        dtype=settings.dtype,
        deterministic=settings.deterministic,
        threads=settings.threads,
        loras=None if settings.loras is None else str(settings.loras),
        limits=StepLimits(settings.step_target_s, settings.batch_tokens),
        log_level=settings.log_level,
    )
