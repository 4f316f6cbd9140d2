"""``photogram doctor``: what this machine has, and whether it can serve."""

import os
import platform
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from photogram.cli.options import DataOption, ModelOption
from photogram.core.errors import ConfigurationError, PhotogramError, StorageError
from photogram.core.settings import Settings, load_settings
from photogram.core.telemetry import configure_logging

if TYPE_CHECKING:
    from photogram.weights.plan import Precision, Shapes

_DEVICES_GIB = (16, 24, 48, 80)
_PRECISIONS: "tuple[Precision, ...]" = ("bfloat16", "float8_e4m3fn")


def doctor(*, data: DataOption = None, model: ModelOption = None) -> None:
    """Check torch, the database, the data folder, the disk and the model; exit 1 if one fails.

    Then say what of the model, and of FLUX.1 [dev], would stay on GPUs of several sizes.
    """
    settings = load_settings(data=data, model=model)
    configure_logging(settings.log_level)
    checks: dict[str, Callable[[Settings], str]] = {
        "Python": _python,
        "torch": _torch,
        "database": _database,
        "data": _data,
        "disk": _disk,
        "model": _model,
    }
    has_failed = False
    for name, check in checks.items():
        try:
            print(f"ok    {name:<8} {check(settings)}")
        except PhotogramError as error:
            has_failed = True
            print(f"FAIL  {name:<8} {error.message}")
    _print_plans(settings)
    if has_failed:
        raise typer.Exit(1)


def _python(_settings: Settings) -> str:
    return f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores"


def _torch(settings: Settings) -> str:
    import torch

    from photogram.pipeline.device import choose_device, choose_dtype

    try:
        device = choose_device(settings.device)
    except PhotogramError as error:
        raise ConfigurationError(f"{torch.__version__}: {error.message}") from None
    dtype: str = settings.dtype
    if dtype == "auto":
        dtype = str(choose_dtype(device)).removeprefix("torch.")
    num_threads = settings.threads or torch.get_num_threads()
    return f"{torch.__version__}, {dtype} on {device}, {num_threads} threads"


def _database(settings: Settings) -> str:
    from photogram.bootstrap.store import open_store

    with open_store(settings) as store:
        return store.database.describe()


def _data(settings: Settings) -> str:
    from photogram.bootstrap.store import open_store

    with open_store(settings) as store:
        report = store.ledger.check()
    if not report.is_ok:
        raise StorageError(f"{settings.data}: the ledger does not hold: {report.violations[0]}")
    return f"{settings.data}, {report.num_accounts} accounts, the ledger holds"


def _disk(settings: Settings) -> str:
    try:
        free_mib = shutil.disk_usage(settings.data).free // 2**20
    except OSError as error:
        raise StorageError(f"{settings.data}: {error.strerror}") from None
    if free_mib < settings.disk_floor_mib:
        raise StorageError(f"{free_mib} MiB free, less than {settings.disk_floor_mib} MiB")
    return f"{free_mib} MiB free"


def _model(settings: Settings) -> str:
    from photogram.bootstrap.models import model_folder
    from photogram.weights.locate import inspect

    checkpoint = inspect(model_folder(settings))
    size_mib = sum(part.size_bytes for part in checkpoint.components) / 2**20
    return f"{checkpoint.model.name}, {size_mib:.0f} MiB, in {checkpoint.folder}"


def _print_plans(settings: Settings) -> None:
    from photogram.bootstrap.models import model_folder
    from photogram.weights.locate import inspect
    from photogram.weights.plan import FLUX_DEV, shapes_of

    models = {"FLUX.1 [dev] at 1024x1024": FLUX_DEV}
    try:
        checkpoint = inspect(model_folder(settings))
    except PhotogramError:
        pass  # the check above has told
    else:
        models = {checkpoint.model.name: shapes_of(checkpoint), **models}
    for name, shapes in models.items():
        print(f"plan  {name} on a GPU of")
        for device_gib in _DEVICES_GIB:
            for precision in _PRECISIONS:
                print(
                    f"      {device_gib} GiB, {precision:<13}  {_plan(shapes, precision, device_gib)}"
                )


def _plan(shapes: "Shapes", precision: "Precision", device_gib: int) -> str:
    """What stays, what does not, and the peak."""
    from photogram.weights.plan import GIB, choose_plan, make_plan

    plan = choose_plan(shapes, precision, device_gib * GIB)
    if plan is None:
        least = make_plan(shapes, precision, has_text=False, has_modulation=False)
        return f"does not fit: it needs {least.peak_bytes / GIB:.1f} GiB"
    places = {
        "text encoders on the CPU": plan.has_text,
        "modulation in the host's memory": plan.has_modulation,
    }
    elsewhere = ", ".join(place for place, is_on_device in places.items() if not is_on_device)
    peak, weights = plan.peak_bytes / GIB, plan.weight_bytes / GIB
    return f"{peak:.1f} GiB at most, {weights:.2f} of them weights; {elsewhere or 'all on it'}"
