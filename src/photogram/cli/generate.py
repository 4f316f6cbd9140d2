"""``photogram generate``: paint a picture in this process, without a server."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from photogram.cli.adapters import read_adapters
from photogram.cli.options import DeviceOption, MemoryOption, ModelOption, StepCacheOption
from photogram.core.errors import InvalidRequestError
from photogram.core.ids import random_seed
from photogram.core.messages import Adapter, ImageFormat
from photogram.core.settings import Settings, load_settings

if TYPE_CHECKING:
    from photogram.api.attributes import Attribute
    from photogram.pipeline.flux import Pipeline

_FORMATS: dict[str, ImageFormat] = {
    ".webp": "webp",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
}


def generate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What the picture shows.")],
    *,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="A .webp, .jpg or .png file."),
    ],
    steps: Annotated[
        int | None, typer.Option(help="Denoising steps; left out: as many as the model's default.")
    ] = None,
    guidance: Annotated[float, typer.Option(min=0, max=10, help="Pull towards the prompt.")] = 3.5,
    seed: Annotated[int, typer.Option(min=-1, max=2**53 - 1, help="-1: any.")] = 46588,
    aspect_ratio: Annotated[str, typer.Option(metavar="RATIO", help="Such as 16:9.")] = "1:1",
    samples: Annotated[int, typer.Option(min=1, max=4, help="Pictures; seeds count up.")] = 1,
    quality: Annotated[int, typer.Option(min=0, max=100, help="Of webp and jpg.")] = 80,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:SCALE]",
            help="An adapter by its name in PHOTOGRAM_LORAS, or its file; again for another.",
        ),
    ] = None,
    model: ModelOption = None,
    device: DeviceOption = None,
    memory: MemoryOption = None,
    step_cache: StepCacheOption = None,
) -> None:
    """Paint PROMPT into FILE; with several samples, FILE gets -1, -2, ... before its suffix."""
    from photogram.api.attributes import ATTRIBUTES, attributes_of, read
    from photogram.bootstrap.models import model_folder
    from photogram.weights.locate import inspect

    settings = load_settings(model=model, device=device, memory=memory, step_cache=step_cache)
    table = attributes_of(inspect(model_folder(settings)).model)
    attributes = {each.name: each for each in (*ATTRIBUTES, *table)}
    image_format = _format_of(output)
    if not output.parent.is_dir():  # told before the work, not after it
        raise InvalidRequestError(f"cannot write {output}: there is no folder {output.parent}")
    try:  # as the server reads them: the same words give the same picture
        prompt = str(read(attributes["prompt"], prompt))
        guidance = cast(float, read(attributes["guidance"], guidance))
        num_steps = _steps(attributes["steps"], steps)
    except ValueError as error:
        raise InvalidRequestError(str(error)) from None
    loras = read_adapters(lora or [], settings.loras)
    console = Console(stderr=True)
    with console.status("loading the model"):
        pipeline = load_pipeline(settings)
    if aspect_ratio not in pipeline.model.aspect_ratios:
        allowed = ", ".join(pipeline.model.aspect_ratios)
        raise InvalidRequestError(f"--aspect-ratio {aspect_ratio}: it is one of {allowed}")
    first_seed = random_seed() if seed == -1 else seed
    for index in range(samples):
        path = output if samples == 1 else output.with_stem(f"{output.stem}-{index + 1}")
        started = time.perf_counter()
        data = _paint(
            pipeline,
            console,
            prompt,
            size=pipeline.model.size(aspect_ratio),
            steps=num_steps,
            guidance=guidance,
            seed=first_seed + index,
            loras=loras,
            file=(image_format, quality),
            with_prompt=settings.embed_prompt,
        )
        _write(path, data)
        elapsed = time.perf_counter() - started
        print(f"{path}: seed {first_seed + index}, {num_steps} steps, {elapsed:.2f} s")


def load_pipeline(settings: Settings) -> "Pipeline":
    """The model that is set, in this process.

    Raises:
        PhotogramError: There is none, or it cannot be loaded as the settings say.
    """
    import torch

    from photogram import Pipeline
    from photogram.bootstrap.models import model_folder

    if settings.threads:
        torch.set_num_threads(settings.threads)
    pipeline = Pipeline.from_pretrained(
        model_folder(settings),
        device=settings.device,
        dtype=settings.dtype,
        memory=settings.memory,
        step_cache=settings.step_cache,
    )
    if settings.memory is not None:
        print(f"plan: {pipeline.plan}", file=sys.stderr)
    return pipeline


def _paint(
    pipeline: "Pipeline",
    console: Console,
    prompt: str,
    *,
    size: tuple[int, int],
    steps: int,
    guidance: float,
    seed: int,
    loras: dict[Path, Adapter],
    file: tuple[ImageFormat, int],
    with_prompt: bool,
) -> bytes:
    """One picture as the bytes of a file, with a bar that moves at each step."""
    import numpy as np

    from photogram.imaging.encode import encode
    from photogram.imaging.metadata import ImageMetadata

    width, height = size
    columns = (TextColumn("painting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("steps", total=steps)
        image = pipeline.generate(
            prompt,
            steps=steps,
            guidance=guidance,
            seed=seed,
            width=width,
            height=height,
            loras={path: adapter.scale for path, adapter in loras.items()},
            on_step=lambda _step: progress.advance(task),
        )
    metadata = ImageMetadata(
        model=pipeline.model.slug,
        seed=seed,
        steps=steps,
        guidance=guidance,
        width=width,
        height=height,
        adapters=tuple(loras.values()),
        prompt=prompt if with_prompt else None,
    )
    return encode(np.asarray(image), *file, metadata=metadata)


def _format_of(output: Path) -> ImageFormat:
    try:
        return _FORMATS[output.suffix.lower()]
    except KeyError:
        raise InvalidRequestError(
            f"FILE {output} must end in one of {', '.join(_FORMATS)}"
        ) from None


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InvalidRequestError(f"cannot write {path}: {error.strerror}") from None


def _steps(attribute: "Attribute", given: int | None) -> int:
    from photogram.api.attributes import read

    return cast(int, read(attribute, attribute.default if given is None else given))
