"""``photogram generate``: paint a picture in this process, without a server."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from photogram.cli.adapters import read_adapters
from photogram.cli.options import (
    DeviceOption,
    ImageOption,
    MaskOption,
    MemoryOption,
    ModelOption,
    StepCacheOption,
)
from photogram.core.errors import InvalidRequestError
from photogram.core.ids import random_seed
from photogram.core.messages import Adapter, ImageFormat
from photogram.core.settings import Settings, load_settings
from photogram.core.strength import first_step

if TYPE_CHECKING:
    from PIL.Image import Image

    from photogram.api.attributes import Attribute
    from photogram.imaging.metadata import ImageMetadata
    from photogram.pipeline.flux import Pipeline

_FORMATS: dict[str, ImageFormat] = {
    ".webp": "webp",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the words ask for; the same for all samples.

    Attributes:
        size: Width and height in pixels; from an image, its shape decides instead.
    """

    prompt: str
    steps: int
    guidance: float
    size: tuple[int, int]
    image: Path | None
    mask: Path | None
    prompt_strength: float
    loras: dict[Path, Adapter]
    with_prompt: bool

    @property
    def first_step(self) -> int:
        """Steps that are left out, because the pictures do not begin from noise alone."""
        return 0 if self.image is None else first_step(self.prompt_strength, self.steps)

    @property
    def told_steps(self) -> str:
        """The steps that run, and of how many where some are left out."""
        num_run = self.steps - self.first_step
        return f"{num_run}" if self.image is None else f"{num_run} of {self.steps}"

    def metadata(self, pipeline: "Pipeline", seed: int, size: tuple[int, int]) -> "ImageMetadata":
        """What a picture's file says of it."""
        from photogram.imaging.metadata import ImageMetadata

        width, height = size
        return ImageMetadata(
            model=pipeline.model.slug,
            seed=seed,
            steps=self.steps,
            guidance=self.guidance,
            width=width,
            height=height,
            adapters=tuple(self.loras.values()),
            first_step=None if self.image is None else self.first_step,
            prompt=self.prompt if self.with_prompt else None,
        )


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
    aspect_ratio: Annotated[
        str | None, typer.Option(metavar="RATIO", help="Such as 16:9; 1:1 unless told.")
    ] = None,
    image: ImageOption = None,
    mask: MaskOption = None,
    prompt_strength: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the steps that run from --image.")
    ] = 0.8,
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
    import numpy as np

    from photogram.imaging.encode import encode
    from photogram.pipeline.arguments import read_pictures

    settings = load_settings(model=model, device=device, memory=memory, step_cache=step_cache)
    image_format = _format_of(output)
    if not output.parent.is_dir():  # told before the work, not after it
        raise InvalidRequestError(f"cannot write {output}: there is no folder {output.parent}")
    words = _as_the_server_reads(settings, prompt, steps, guidance)
    loras = read_adapters(lora or [], settings.loras)
    read_pictures(image, mask)  # as above: to be told of them early
    console = Console(stderr=True)
    with console.status("loading the model"):
        pipeline = load_pipeline(settings)
    size = _size(pipeline, aspect_ratio or "1:1")
    if aspect_ratio is not None and image is not None:
        console.print("--aspect-ratio has no effect: the picture has the shape of --image")
    asked = _Asked(*words, size, image, mask, prompt_strength, loras, settings.embed_prompt)
    first_seed = random_seed() if seed == -1 else seed
    for index in range(samples):
        path = output if samples == 1 else output.with_stem(f"{output.stem}-{index + 1}")
        started = time.perf_counter()
        picture = _paint(pipeline, console, asked, first_seed + index)
        metadata = asked.metadata(pipeline, first_seed + index, picture.size)
        _write(path, encode(np.asarray(picture), image_format, quality, metadata=metadata))
        elapsed = time.perf_counter() - started
        print(f"{path}: seed {first_seed + index}, {asked.told_steps} steps, {elapsed:.2f} s")


def _as_the_server_reads(
    settings: Settings, prompt: str, steps: int | None, guidance: float
) -> tuple[str, int, float]:
    """The same words give the same picture, with the same limits."""
    from photogram.api.attributes import ATTRIBUTES, attributes_of, read
    from photogram.bootstrap.models import model_folder
    from photogram.weights.locate import inspect

    table = attributes_of(inspect(model_folder(settings)).model)
    attributes = {each.name: each for each in (*ATTRIBUTES, *table)}
    try:
        return (
            str(read(attributes["prompt"], prompt)),
            _steps(attributes["steps"], steps),
            cast(float, read(attributes["guidance"], guidance)),
        )
    except ValueError as error:
        raise InvalidRequestError(str(error)) from None


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


def _size(pipeline: "Pipeline", aspect_ratio: str) -> tuple[int, int]:
    if aspect_ratio not in pipeline.model.aspect_ratios:
        allowed = ", ".join(pipeline.model.aspect_ratios)
        raise InvalidRequestError(f"--aspect-ratio {aspect_ratio}: it is one of {allowed}")
    return pipeline.model.size(aspect_ratio)


def _paint(pipeline: "Pipeline", console: Console, asked: _Asked, seed: int) -> "Image":
    """One picture, with a bar that moves at each step."""
    width, height = asked.size if asked.image is None else (None, None)
    columns = (TextColumn("painting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("steps", total=asked.steps - asked.first_step)
        return pipeline.generate(
            asked.prompt,
            steps=asked.steps,
            guidance=asked.guidance,
            seed=seed,
            width=width,
            height=height,
            loras={path: adapter.scale for path, adapter in asked.loras.items()},
            image=asked.image,
            mask=asked.mask,
            prompt_strength=asked.prompt_strength,
            on_step=lambda _step: progress.advance(task),
        )


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
