"""diffusers' FluxPipeline at its best settings: what Photogram is measured against.

In: a checkpoint, prompts, noise. Out: latents, pictures, or the velocity of one step. The server of
`benchmarks.peer_server` and the cells without a server use the same pipeline.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from diffusers import FluxPipeline
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from benchmarks.engines.interface import Case

_MANY_SHAPES = 64


def load(model: Path, dtype: torch.dtype) -> Any:
    """The pipeline in one precision, with the memory layout that its decoder is fastest in."""
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    pipeline = FluxPipeline.from_pretrained(model, dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.vae.to(memory_format=torch.channels_last)
    return pipeline


def compile_networks(pipeline: Any, *, is_dynamic: bool = False) -> None:
    """Compile the transformer and the decoder, with their weights frozen into the code.

    Args:
        pipeline: Changed in place.
        is_dynamic: Compile once for all sizes, instead of for each that comes.
    """
    pipeline.transformer = compiled(pipeline.transformer, is_dynamic=is_dynamic)
    pipeline.vae.decode = compiled(pipeline.vae.decode, is_dynamic=is_dynamic)


def compiled(function: Callable[..., Any], *, is_dynamic: bool = False) -> Callable[..., Any]:
    """A function of a network, compiled with the weights frozen into the code."""
    import torch._dynamo.config as dynamo
    import torch._inductor.config as inductor

    inductor.freezing = True
    dynamo.recompile_limit = _MANY_SHAPES  # past the limit it would run eager, and say nothing
    return torch.compile(function, dynamic=True if is_dynamic else None)


def end_compilers() -> None:
    """End the processes that compile: once all is compiled they only take memory."""
    from torch._inductor.async_compile import shutdown_compile_workers

    shutdown_compile_workers()


class Transformer(nn.Module):
    """diffusers' transformer with the positions built in, as exporters like it."""

    def __init__(self, transformer: nn.Module, img_ids: Tensor, txt_ids: Tensor) -> None:
        super().__init__()
        self.transformer = transformer
        self.register_buffer("img_ids", img_ids)
        self.register_buffer("txt_ids", txt_ids)

    def forward(
        self, img: Tensor, txt: Tensor, vec: Tensor, timestep: Tensor, guidance: Tensor
    ) -> Tensor:
        velocity: Tensor = self.transformer(
            hidden_states=img,
            encoder_hidden_states=txt,
            pooled_projections=vec,
            timestep=timestep,
            guidance=guidance,
            img_ids=self.img_ids,
            txt_ids=self.txt_ids,
            return_dict=False,
        )[0]
        return velocity


class Diffusers:
    """Paints one picture at a time."""

    def __init__(self, model: Path, dtype: torch.dtype, *, is_compiled: bool) -> None:
        self._pipeline = load(model, dtype)
        self._max_text_tokens = self._pipeline.tokenizer_2.model_max_length
        if is_compiled:
            compile_networks(self._pipeline)

    def denoise(self, case: Case, prompt: str) -> NDArray[np.float32]:
        noise = case.noise()[None]
        latents: Tensor = self._run(case, prompt, latents=noise, output_type="latent").images[0]
        return latents.float().numpy()

    def paint(self, case: Case, prompt: str, on_step: Callable[[], None]) -> Image.Image:
        def after_step(
            _pipeline: object, _index: int, _timestep: object, kept: dict[str, Tensor]
        ) -> dict[str, Tensor]:
            on_step()
            return kept

        noise = torch.Generator("cpu").manual_seed(case.seed)
        output = self._run(case, prompt, generator=noise, callback_on_step_end=after_step)
        image: Image.Image = output.images[0]
        return image

    def _run(self, case: Case, prompt: str, **options: object) -> Any:
        return self._pipeline(
            prompt,
            num_inference_steps=case.steps,
            guidance_scale=case.guidance,
            width=case.width,
            height=case.height,
            max_sequence_length=self._max_text_tokens,
            **options,
        )
