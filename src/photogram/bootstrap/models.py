"""Finds the checkpoints that are served, and says what they are, cost and take, and how they run.

Settings come in; what the request column and the engines need to know of each model comes out. It
reads headers of checkpoints, and loads nothing.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from photogram.core.errors import CheckpointError, ConfigurationError
from photogram.core.messages import ModelInfo
from photogram.core.model_file import ModelEntry, read_model_file
from photogram.core.settings import Dtype, Settings
from photogram.engine.batching import StepLimits
from photogram.engine.local import LocalEngine
from photogram.engine.pool import EnginePool
from photogram.engine.process import WorkerConfig
from photogram.engine.rotation import Room
from photogram.engine.slot import PooledModel
from photogram.ledger.pricing import PriceTable
from photogram.weights.locate import inspect
from photogram.weights.plan import least_plan, make_plan
from photogram.weights.sizes import Shapes, shapes_of

_EMBEDDED_MODELS = Path(__file__).parents[3] / "models"
_NVIDIA = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model of a server.

    Attributes:
        prices: What its pictures cost.
        size_bytes: Memory that it takes when it is loaded, as it is estimated.
        config: How its worker is started.
    """

    info: ModelInfo
    prices: PriceTable
    size_bytes: int
    config: WorkerConfig


def served_models(settings: Settings) -> list[ServedModel]:
    """All models of a server, the default one first.

    Raises:
        CheckpointError: One of them cannot be served.
        ConfigurationError: The settings do not say which, or the folder of adapters is none.
    """
    if settings.loras is not None and not settings.loras.is_dir():
        raise ConfigurationError(f"PHOTOGRAM_LORAS: {settings.loras} is not a folder")
    return [_served(entry, settings) for entry in _entries(settings)]


def model_folder(settings: Settings) -> Path:
    """The default model's checkpoint.

    Raises:
        CheckpointError: No model is set, and there is no embedded one.
        ConfigurationError: The settings do not say which.
    """
    return _entries(settings)[0].path


def make_pool(settings: Settings, models: Sequence[ServedModel]) -> EnginePool:
    """The engines of the models; nothing is started.

    Raises:
        ConfigurationError: There is no room for one of them.
    """
    room = Room(settings.models_loaded, settings.models_memory)
    pooled = [
        PooledModel(
            model.info,
            model.size_bytes,
            partial(
                LocalEngine,
                model.info,
                model.config,
                queue_limit=settings.queue_limit,
                silence_s=settings.worker_silence_s,
            ),
        )
        for model in models
    ]
    return EnginePool(pooled, room, queue_limit=settings.queue_limit)


def _entries(settings: Settings) -> list[ModelEntry]:
    if settings.models is not None:
        if settings.model is not None:
            raise ConfigurationError("both a model and a file of models are set; set one of them")
        return read_model_file(settings.models)
    paths = settings.model
    if paths is None:
        paths = tuple(sorted(path.parent for path in _EMBEDDED_MODELS.glob("*/model_index.json")))
        paths = paths[:1]
    if not paths:
        raise CheckpointError("no embedded model was found; name a checkpoint folder with --model")
    return [ModelEntry(path=path) for path in paths]


def _served(entry: ModelEntry, settings: Settings) -> ServedModel:
    checkpoint = inspect(entry.path)
    device, dtype = entry.device or settings.device, entry.dtype or settings.dtype
    return ServedModel(
        info=_info(entry, checkpoint.model)
        .in_precision(dtype)
        .with_step_cache(settings.step_cache),
        prices=PriceTable(
            per_image=_either(entry.price_per_image, settings.price_per_image),
            per_step=_either(entry.price_per_step, settings.price_per_step),
            guidance_rate=_either(entry.price_guidance_rate, settings.price_guidance_rate),
        ),
        size_bytes=min(
            _estimate_bytes(shapes_of(checkpoint), device, dtype), settings.memory or sys.maxsize
        ),
        config=WorkerConfig(
            model=str(entry.path),
            device=device,
            dtype=dtype,
            memory=settings.memory,
            step_cache=settings.step_cache,
            deterministic=settings.deterministic,
            threads=settings.threads,
            loras=None if settings.loras is None else str(settings.loras),
            limits=StepLimits(settings.step_target_s, settings.batch_tokens),
            log_level=settings.log_level,
        ),
    )


def _info(entry: ModelEntry, model: ModelInfo) -> ModelInfo:
    """What the checkpoint says of itself, but for what the entry says."""
    max_steps = entry.max_steps or model.max_steps
    default_steps = entry.default_steps or min(model.default_steps, max_steps)
    if default_steps > max_steps:
        raise ConfigurationError(
            f"{entry.path}: default_steps is {default_steps}, more than max_steps, {max_steps}"
        )
    slug = entry.slug or model.slug
    return replace(model, slug=slug, default_steps=default_steps, max_steps=max_steps)


def _either(given: Decimal | None, usual: Decimal) -> Decimal:
    return usual if given is None else given


def _estimate_bytes(shapes: Shapes, device: str, dtype: Dtype) -> int:
    """What a loaded model takes: on a GPU all of it there, on a CPU its weights."""
    if device.startswith("cuda") or (device == "auto" and _NVIDIA.exists()):
        return make_plan(shapes, "bfloat16" if dtype == "auto" else dtype).peak_bytes
    precision = "float32" if dtype == "auto" else dtype
    return least_plan(shapes, precision, is_host=True).weight_bytes
