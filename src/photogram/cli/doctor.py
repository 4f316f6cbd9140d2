"""``photogram doctor``: what this machine has, and whether it can serve."""

import os
import platform
import shutil
from collections.abc import Callable
from typing import Annotated

import typer

from photogram.cli.options import DataOption, DeviceOption, MemoryOption, ModelOption
from photogram.cli.plans import measured_here, plan_here, print_plans
from photogram.core.errors import ConfigurationError, PhotogramError, StorageError
from photogram.core.settings import Settings, load_settings
from photogram.core.telemetry import configure_logging


def doctor(
    *,
    data: DataOption = None,
    model: ModelOption = None,
    device: DeviceOption = None,
    memory: MemoryOption = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Load the model, paint, and compare with the plan.")
    ] = False,
) -> None:
    """Check torch, the database, the data folder, the disk and the model; exit 1 if one fails.

    The plan says what of the model stays where on this machine; then, what of it and of FLUX.1 [dev]
    would stay on GPUs of several sizes.
    """
    settings = load_settings(data=data, model=model, device=device, memory=memory)
    configure_logging(settings.log_level)
    checks: dict[str, Callable[[Settings], str]] = {
        "Python": _python,
        "torch": _torch,
        "database": _database,
        "data": _data,
        "disk": _disk,
        "model": _model,
        "plan": plan_here,
    }
    if measure:
        checks["measured"] = measured_here
    has_failed = False
    for name, check in checks.items():
        try:
            print(f"ok    {name:<8} {check(settings)}")
        except PhotogramError as error:
            has_failed = True
            print(f"FAIL  {name:<8} {error.message}")
    print_plans(settings)
    if has_failed:
        raise typer.Exit(1)


def _python(_settings: Settings) -> str:
    return f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores"


def _torch(settings: Settings) -> str:
    import torch

    from photogram.pipeline.device import choose_device, choose_precision

    try:
        device = choose_device(settings.device)
        dtype = choose_precision(device, settings.dtype)
    except PhotogramError as error:
        raise ConfigurationError(f"{torch.__version__}: {error.message}") from None
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
