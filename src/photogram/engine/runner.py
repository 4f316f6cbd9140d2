"""Owns the device: turns the engine's plain samples into calls of the pipeline.

It knows tensors and pictures, and nothing of queues, processes or fairness.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import structlog
import torch
from msgspec import structs
from numpy.typing import NDArray

from photogram.core.adapters import adapter_files
from photogram.core.errors import CheckpointError, EngineFailedError
from photogram.core.messages import (
    CONTENT_TYPES,
    EncodedImage,
    GenerateJob,
    ImageFormat,
    ModelInfo,
    Vitals,
)
from photogram.engine.request import Request, Sample
from photogram.imaging.encode import encode
from photogram.imaging.metadata import ImageMetadata
from photogram.imaging.source import read_source
from photogram.model.adapters import Adapter
from photogram.pipeline.batch import Denoising
from photogram.pipeline.flux import Pipeline

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_PREVIEW_FORMAT: ImageFormat = "jpeg"  # half as large again as WebP, in a twentieth of its time
_PREVIEW_QUALITY = 70
_STATM = Path("/proc/self/statm")
_OUT_OF_MEMORY = "can't allocate memory"
"""How torch's allocator on a CPU says it, in a plain RuntimeError."""


class PipelineRunner:
    """Implements `engine.device.Runner` over one loaded pipeline.

    Args:
        pipeline: What paints.
        loras: The folder of adapters that jobs may name.
    """

    def __init__(self, pipeline: Pipeline, loras: Path | None = None) -> None:
        self._pipeline = pipeline
        self._loras = loras

    @classmethod
    def load(
        cls,
        model: Path,
        *,
        device: str,
        dtype: str,
        memory: int | None = None,
        step_cache: float = 0.0,
        deterministic: bool = False,
        threads: int,
        loras: Path | None = None,
    ) -> "PipelineRunner":
        """Load a checkpoint.

        Args:
            model: A checkpoint folder in diffusers' FluxPipeline layout.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
            dtype: ``auto``, or a precision of `core.settings`.
            memory: Bytes that it may take at most; None: all that the device has.
            step_cache: The threshold of a step cache; 0: none.
            deterministic: On a GPU, no picture depends on what is painted beside it.
            threads: CPU threads of torch; 0 keeps torch's own choice, all cores.
            loras: The folder of adapters that jobs may name.

        Raises:
            CheckpointError: The folder does not hold what it should.
        """
        if threads:
            torch.set_num_threads(threads)
        pipeline = Pipeline.from_pretrained(
            model,
            device=device,
            dtype=dtype,
            memory=memory,
            step_cache=step_cache,
            deterministic=deterministic,
        )
        _log.info("memory_planned", plan=str(pipeline.plan))
        return cls(pipeline, loras)

    @property
    def model(self) -> ModelInfo:
        return self._pipeline.model

    @property
    def most_tokens(self) -> int:
        """Of a step that several samples share: more of them would not fit the memory."""
        return self._pipeline.plan.most_tokens

    @property
    def compiles(self) -> bool:
        return self._pipeline.device.type == "cuda"

    def encode_source(self, request: Request) -> None:
        job, source = request.job, request.job.source
        if source is None:
            raise ValueError("the job begins from noise")
        size = (job.width, job.height)
        image = read_source(source.image, "RGB", size)
        mask = read_source(source.mask, "L", size) if source.mask is not None else None
        request.source = _with_room(
            lambda: self._pipeline.encode(image, mask, first_step=source.first_step)
        )

    def begin(self, sample: Sample) -> None:
        request, job = sample.request, sample.request.job
        if request.adapters is None:  # all samples have the same, whatever becomes of the files
            request.adapters = _with_room(lambda: self._load_adapters(job))
        state = _with_room(
            lambda: self._pipeline.start(
                job.prompt,
                width=job.width,
                height=job.height,
                num_steps=job.num_steps,
                guidance=job.guidance,
                seed=sample.seed,
                adapters=request.adapters,
                source=request.source,
            )
        )
        self._finish()
        request.prompt_tokens = state.prompt_tokens
        request.prompt_truncated = state.prompt_truncated
        sample.state = state

    def step(self, states: Sequence[Denoising]) -> None:
        if len(states) == 1:
            _with_room(lambda: self._pipeline.step(states))
        else:  # where memory is short, the caller tries each alone
            self._pipeline.step(states)
        self._finish()

    def forget(self, state: Denoising) -> None:
        state.remembered = None

    def decode(self, state: Denoising) -> NDArray[np.uint8]:
        return _with_room(lambda: self._pipeline.decode(state))

    def preview(self, state: Denoising) -> NDArray[np.uint8]:
        return self._pipeline.preview(state)

    def encode_preview(self, pixels: NDArray[np.uint8], sample: Sample) -> EncodedImage:
        return self._encode(pixels, sample, _PREVIEW_FORMAT, _PREVIEW_QUALITY)

    def encode(self, pixels: NDArray[np.uint8], sample: Sample) -> EncodedImage:
        job = sample.request.job
        return self._encode(pixels, sample, job.image_format, job.quality)

    def with_holdings(self, counted: Vitals) -> Vitals:
        """Vitals with what the process and its device hold now; safe to call on another thread.

        Nothing is started on the device: that must not come between the calls of a graph that is
        being recorded.
        """
        held = structs.replace(counted, memory_bytes=_resident_bytes(), device="cpu")
        device = self._pipeline.device
        if device.type != "cuda":
            return held
        properties = torch.cuda.get_device_properties(device)
        return structs.replace(
            held,
            device=properties.name,
            device_used_bytes=torch.cuda.memory_reserved(device),
            device_total_bytes=properties.total_memory,
            temperature_c=_temperature_c(device),
        )

    def _encode(
        self, pixels: NDArray[np.uint8], sample: Sample, image_format: ImageFormat, quality: int
    ) -> EncodedImage:
        job = sample.request.job
        height, width, _ = pixels.shape
        metadata = ImageMetadata(
            model=job.model,
            seed=sample.seed,
            steps=job.num_steps,
            guidance=job.guidance,
            width=width,
            height=height,
            adapters=job.adapters,
            prompt=job.prompt if job.with_prompt else None,
            first_step=None if job.source is None else job.source.first_step,
        )
        return EncodedImage(
            seed=sample.seed,
            width=width,
            height=height,
            content_type=CONTENT_TYPES[image_format],
            data=encode(pixels, image_format, quality, metadata=metadata),
        )

    def _load_adapters(self, job: GenerateJob) -> list[tuple[Adapter, float]]:
        """What a job is painted with, in one order, so that its own does not matter.

        Raises:
            EngineFailedError: One is not there any more, or cannot be used; the words name the file
                without its folder.
        """
        files = adapter_files(self._loras) if job.adapters else {}
        loaded = []
        for name, scale in sorted((each.name, each.scale) for each in job.adapters):
            if name not in files:
                raise EngineFailedError(f"the adapter {name!r} is not there any more")
            try:
                loaded.append((self._pipeline.load_adapter(files[name]), scale))
            except CheckpointError as error:
                problem = error.message.replace(str(files[name]), files[name].name)
                raise EngineFailedError(f"the adapter {name!r} cannot be used: {problem}") from None
        return loaded

    def _finish(self) -> None:
        """Wait for the device, which a GPU's calls do not; decoding does, by its copy."""
        if self._pipeline.device.type == "cuda":
            torch.cuda.synchronize(self._pipeline.device)


def _resident_bytes() -> int:
    """Main memory that this process holds; 0 where the system does not tell."""
    try:
        words = _STATM.read_text().split()
    except OSError:
        return 0
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE")


def _temperature_c(device: torch.device) -> float | None:
    try:
        return float(torch.cuda.temperature(device))
    except Exception:  # noqa: BLE001 - the library that reads it is missing, or its own errors
        return None


def _with_room(work: Callable[[], T]) -> T:
    """Do some work; where memory is short, once more in what the allocator has kept for later.

    Raises:
        EngineFailedError: There is too little memory even so.
    """
    try:
        return work()
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
    torch.cuda.empty_cache()
    try:
        return work()
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        raise EngineFailedError(
            "there is too little memory for this picture; it was not billed"
        ) from error


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or _OUT_OF_MEMORY in str(error)
