"""Options that several commands share, so that they mean and say the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help="Folder of the database and the secrets. [PHOTOGRAM_DATA; default: data]",
    ),
]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="FOLDER",
        help="Checkpoint folder in diffusers layout. [PHOTOGRAM_MODEL; default: the embedded one]",
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:N. [PHOTOGRAM_DEVICE]"
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="The most that the model may take, such as 16GiB. [PHOTOGRAM_MEMORY; all there is]",
    ),
]
StepCacheOption = Annotated[
    float | None,
    typer.Option(
        "--step-cache",
        metavar="SHARE",
        help="Skip most of a step that changes less than this, such as 0.1. [PHOTOGRAM_STEP_CACHE; off]",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

ImageOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", exists=True, dir_okay=False, help="Begin from it, in its shape."),
]

MaskOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", exists=True, dir_okay=False, help="Of --image: white is painted."),
]
