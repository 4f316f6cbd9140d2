"""Owns the device: turns the engine's plain samples into calls of the pipeline.

It knows tensors and pictures, and nothing of queues, processes or fairness.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from photogram.core.messages import CONTENT_TYPES, EncodedImage, ModelInfo
from photogram.engine.request import Sample
from photogram.imaging.encode import encode
from photogram.imaging.metadata import ImageMetadata
from photogram.pipeline.batch import Denoising
from photogram.pipeline.flux import Pipeline


class PipelineRunner:
    """Implements `engine.core.Runner` over one loaded pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    @classmethod
    def load(
        cls, model: Path, *, device: str, dtype: str, deterministic: bool = False, threads: int
    ) -> "PipelineRunner":
        """Load a checkpoint.

        Args:
            model: A checkpoint folder in diffusers' FluxPipeline layout.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
            dtype: ``auto``, or a precision of `core.settings`.
            deterministic: On a GPU, no picture depends on what is painted beside it.
            threads: CPU threads of torch; 0 keeps torch's own choice, all cores.

        Raises:
            CheckpointError: The folder does not hold what it should.
        """
        if threads:
            torch.set_num_threads(threads)
        pipeline = Pipeline.from_pretrained(
            model,
            device=device,
            dtype=None if dtype == "auto" else getattr(torch, dtype),
            deterministic=deterministic,
        )
        return cls(pipeline)

    @property
    def model(self) -> ModelInfo:
        return self._pipeline.model

    def begin(self, sample: Sample) -> None:
        request, job = sample.request, sample.request.job
        state = self._pipeline.start(
            job.prompt,
            width=job.width,
            height=job.height,
            num_steps=job.num_steps,
            guidance=job.guidance,
            seed=sample.seed,
        )
        self._finish()
        request.prompt_tokens = state.prompt_tokens
        request.prompt_truncated = state.prompt_truncated
        sample.state = state

    def step(self, states: Sequence[Denoising]) -> None:
        self._pipeline.step(states)
        self._finish()

    def decode(self, state: Denoising) -> NDArray[np.uint8]:
        return self._pipeline.decode(state)

    def encode(self, pixels: NDArray[np.uint8], sample: Sample) -> EncodedImage:
        job = sample.request.job
        metadata = ImageMetadata(
            model=self._pipeline.model.slug,
            seed=sample.seed,
            steps=job.num_steps,
            guidance=job.guidance,
            width=job.width,
            height=job.height,
            prompt=job.prompt if job.with_prompt else None,
        )
        return EncodedImage(
            seed=sample.seed,
            width=job.width,
            height=job.height,
            content_type=CONTENT_TYPES[job.image_format],
            data=encode(pixels, job.image_format, job.quality, metadata=metadata),
        )

    def _finish(self) -> None:
        """Wait for the device, which a GPU's calls do not; decoding does, by its copy."""
        if self._pipeline.device.type == "cuda":
            torch.cuda.synchronize(self._pipeline.device)
