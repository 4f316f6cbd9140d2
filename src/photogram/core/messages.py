"""What crosses the border between the two columns, and between the two processes.

Frozen, plain types: what goes to the engine (`GenerateJob`, `CancelJob`), what comes back
(`Started`, `Progress`, `Preview`, `Finished`, `Failed`), and what both sides know of the model
(`ModelInfo`). They are named by their receiver's view and know nothing of keys, credits, tables or
tensors.
"""

import math
from typing import Literal

import msgspec

APPROXIMATE = {"float8_e4m3fn": "fp8", "int8": "int8", "nf4": "nf4"}
"""The precisions that paint other pictures than the exact ones, and how a model's name says so."""

ImageFormat = Literal["webp", "jpeg", "png"]

CONTENT_TYPES: dict[ImageFormat, str] = {
    "webp": "image/webp",
    "jpeg": "image/jpeg",
    "png": "image/png",
}

DEFAULT_MODEL = "flux-dev"
"""The name that always means a server's default model, whichever that is."""

CANCELLED = "cancelled"
"""The code of a `Failed` whose job was cancelled, and so ended as it was asked to."""

DRAINING = "draining"
"""The code of a `Failed` whose job the engine gave up because it closes."""

WORKER_LOST = "worker_lost"
"""The code of a `Failed` whose job's worker died or hung; the next worker may well paint it."""


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint can do, read from its folder without loading it.

    Attributes:
        slug: The name in URLs and headers, such as ``photogram-mini``.
        name: The name for people.
        aspect_ratios: Ratio -> (width, height) in pixels at the native size.
        size_multiple: Both sides of every picture are multiples of this many pixels
            (the autoencoder's factor times the patch of 2).
        max_text_tokens: The T5 length that prompts are padded or cut to.
        has_guidance: The transformer embeds a guidance scale (FLUX.1 [dev] does, [schnell] not).
        default_steps: Denoising steps where none are asked for; FLUX.1 [dev]'s are 25.
        max_steps: The most that may be asked for; FLUX.1 [dev]'s are 50.
        concepts: What a small model knows, for people; empty where anything goes.
        suggested_prompts: Prompts that it paints well, best first.
        license: The licence of the weights, as its folder states it.
    """

    slug: str
    name: str
    aspect_ratios: dict[str, tuple[int, int]]
    size_multiple: int
    max_text_tokens: int
    has_guidance: bool
    default_steps: int = 25
    max_steps: int = 50
    concepts: tuple[str, ...] = ()
    suggested_prompts: tuple[str, ...] = ()
    license: str = ""

    def in_precision(self, dtype: str) -> "ModelInfo":
        """The same model in a precision; where that changes its pictures, its name says so."""
        if (word := APPROXIMATE.get(dtype)) is None:
            return self
        return msgspec.structs.replace(
            self, slug=f"{self.slug}-{word}", name=f"{self.name} ({word})"
        )

    def with_step_cache(self, threshold: float) -> "ModelInfo":
        """The same model with a step cache, which changes its pictures; 0 is without."""
        if not threshold:
            return self
        return msgspec.structs.replace(
            self, slug=f"{self.slug}-cache", name=f"{self.name} (step cache)"
        )

    def size(self, aspect_ratio: str, megapixels: str = "1") -> tuple[int, int]:
        """Width and height in pixels; ``megapixels="0.25"`` halves both native sides."""
        width, height = self.aspect_ratios[aspect_ratio]
        if megapixels == "1":
            return width, height
        return self._halve(width), self._halve(height)

    def size_like(self, width: int, height: int, megapixels: str = "1") -> tuple[int, int]:
        """The size at which a picture of another size is painted from.

        Args:
            width: Of the other, in any unit.
            height: Of the other, in the same unit.
            megapixels: As in `size`.

        Returns:
            Width and height in pixels: of at most the square's area, as little smaller as the shape
            allows, which changes by as little as multiples of `size_multiple` can.
        """
        num_cells = math.prod(self.size("1:1", megapixels)) // self.size_multiple**2
        shape = width / height
        wide, tall = math.sqrt(num_cells * shape), math.sqrt(num_cells / shape)
        columns, rows = min(
            (
                (columns, rows)
                for columns in (math.floor(wide), math.ceil(wide))
                for rows in (math.floor(tall), math.ceil(tall))
                if 0 < columns * rows <= num_cells
            ),
            key=lambda cells: (abs(math.log(cells[0] / cells[1] / shape)), -math.prod(cells)),
            default=(num_cells, 1) if shape > 1 else (1, num_cells),
        )
        return columns * self.size_multiple, rows * self.size_multiple

    def num_tokens(self, width: int, height: int) -> int:
        """Tokens that one picture of this size adds to a denoising step, its text included."""
        num_image_tokens = (width // self.size_multiple) * (height // self.size_multiple)
        return num_image_tokens + self.max_text_tokens

    def _halve(self, side: int) -> int:
        return max(round(side / 2 / self.size_multiple), 1) * self.size_multiple


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The picture that a job's pictures begin from, instead of from noise alone.

    Attributes:
        image: A PNG, 8-bit RGB, of exactly the job's width and height.
        mask: A PNG, 8-bit grey, of the same size: white is painted, black stays as it is; None:
            all of it is painted.
        first_step: Steps of the schedule that are left out, 0 to the job's `num_steps`; with all
            of them left out, the picture passes through the autoencoder alone.
    """

    image: bytes
    mask: bytes | None = None
    first_step: int


class Adapter(msgspec.Struct, frozen=True):
    """A LoRA that a job is painted with.

    Attributes:
        name: As the operator registered it.
        scale: 0-2; what its change of the weights is multiplied by.
    """

    name: str
    scale: float


class GenerateJob(msgspec.Struct, frozen=True, kw_only=True, tag="generate"):
    """One request for pictures of one prompt; one picture for each seed.

    Attributes:
        tenant: An opaque word; jobs of one tenant share one fair share of the engine.
        quality: 0-100; ignored for png.
        with_prompt: Write the prompt into the file's metadata (an operator's choice).
        timeout_s: Seconds from its arrival at the engine after which nobody wants it any more.
        model: The slug of what paints it.
        num_previews: Previews that are wanted of each picture, evenly spread over its steps; where
            it has fewer steps, one for each but the last.
        source: The picture that all begin from; None: noise alone.
        adapters: In any order, none twice.
    """

    job_id: str
    tenant: str
    prompt: str
    width: int
    height: int
    num_steps: int
    guidance: float
    seeds: tuple[int, ...]
    image_format: ImageFormat = "webp"
    quality: int = 80
    with_prompt: bool = False
    timeout_s: float = math.inf
    model: str = DEFAULT_MODEL
    num_previews: int = 0
    source: Source | None = None
    adapters: tuple[Adapter, ...] = ()

    @property
    def num_steps_run(self) -> int:
        """Steps that really run: those that `source` does not leave out."""
        return self.num_steps - (self.source.first_step if self.source is not None else 0)

    @property
    def preview_steps(self) -> frozenset[int]:
        """The steps after which a preview is wanted; never the last, which makes the picture."""
        num_previews = min(self.num_previews, self.num_steps_run - 1)
        return frozenset(
            number * self.num_steps_run // (num_previews + 1)
            for number in range(1, num_previews + 1)
        )


class CancelJob(msgspec.Struct, frozen=True, tag="cancel"):
    """Stop a job within one denoising step, wherever it is."""

    job_id: str


class EncodedImage(msgspec.Struct, frozen=True, kw_only=True):
    """One finished picture as the bytes of a file."""

    seed: int
    width: int
    height: int
    content_type: str
    data: bytes


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The engine begins its first work on a job: whatever that does, it has been said before."""

    job_id: str


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """A job has finished `step` of the `num_steps` that it runs (its slowest sample counts)."""

    job_id: str
    step: int
    num_steps: int


class Preview(msgspec.Struct, frozen=True, kw_only=True, tag="preview"):
    """What a picture will look like, as far as it can be told after some of its steps.

    Attributes:
        index: Which of the job's pictures, in the order of its seeds.
        step: Denoising steps of it that are done.
        content_type: Of `data`.
        data: A file, of at most some hundred pixels a side.
    """

    job_id: str
    index: int
    step: int
    content_type: str
    data: bytes


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of a job that has not ended, if nothing else arrives.

    Attributes:
        queue_position: 1 for the job that starts next, 0 once it has started.
        start_s: Seconds from now until the first work on it.
        finish_s: Seconds from now until its last picture.
    """

    queue_position: int
    start_s: float
    finish_s: float


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker is: what it has done since its start, and what it holds.

    Attributes:
        num_steps: Denoising steps.
        num_step_samples: The sum over these of the pictures that shared each.
        step_s: The sum over these of their seconds.
        last_step_samples: Pictures that shared the last step; 0 before the first.
        last_step_s: Its seconds.
        memory_bytes: Main memory that the process holds.
        device: What it paints on, such as ``cpu`` or the name of a GPU.
        device_used_bytes: Of a GPU: memory that the process has taken there.
        device_total_bytes: Of a GPU: all its memory.
        temperature_c: Of a GPU, in degrees Celsius, where it can be told.
    """

    num_steps: int = 0
    num_step_samples: int = 0
    step_s: float = 0.0
    last_step_samples: int = 0
    last_step_s: float = 0.0
    memory_bytes: int = 0
    device: str = ""
    device_used_bytes: int | None = None
    device_total_bytes: int | None = None
    temperature_c: float | None = None

    def after_step(self, num_samples: int, seconds: float) -> "Vitals":
        """The same after one step more."""
        return msgspec.structs.replace(
            self,
            num_steps=self.num_steps + 1,
            num_step_samples=self.num_step_samples + num_samples,
            step_s=self.step_s + seconds,
            last_step_samples=num_samples,
            last_step_s=seconds,
        )


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag="finished"):
    """All pictures of a job, in the order of its seeds.

    Attributes:
        prompt_tokens: Tokens of the prompt before it was cut, the end token included.
        num_steps: Denoising steps that really ran, per picture.
        queue_time_s: Seconds from arrival at the engine to the first work on it.
        generation_time_s: Seconds from there to the encoded files.
    """

    job_id: str
    images: tuple[EncodedImage, ...]
    prompt_tokens: int
    prompt_truncated: bool
    num_steps: int
    queue_time_s: float
    generation_time_s: float


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """A job ended without a picture. `message` is safe to show."""

    job_id: str
    code: str
    message: str


Command = GenerateJob | CancelJob
JobEnd = Finished | Failed
JobEvent = Started | Progress | Preview | JobEnd
