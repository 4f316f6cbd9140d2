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
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
