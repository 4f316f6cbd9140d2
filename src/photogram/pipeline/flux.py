"""The pipeline: the only place where the networks meet.

In: a checkpoint folder, then prompts. Out: pictures. `Pipeline.generate` paints one from start to
end; `start`, `step` and `decode` are its parts, for an engine that paints many at once. It knows no
queue, job or file format.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from photogram.core.errors import ConfigurationError, EngineFailedError
from photogram.core.messages import ModelInfo
from photogram.core.strength import first_step
from photogram.model.adapters import Adapter, Adapters, Scaled
from photogram.model.rope import rope
from photogram.model.step_cache import StepCache
from photogram.pipeline.adapters import AdapterShelf
from photogram.pipeline.arguments import (
    PictureLike,
    check_run,
    check_scales,
    check_size,
    check_strength,
    read_pictures,
    scaled,
)
from photogram.pipeline.batch import Denoising, Transformer, step_batch
from photogram.pipeline.conditioning import Conditioner, Conditioning
from photogram.pipeline.cuda import CudaFlux, multiply_float32_exactly
from photogram.pipeline.device import choose_device, choose_precision, plan_for
from photogram.pipeline.preview import LinearDecoder
from photogram.pipeline.source import SourceLatents, encode
from photogram.sampling import latents
from photogram.sampling.schedule import Schedule, make_schedule
from photogram.sampling.solver import clean_estimate
from photogram.weights.load import Networks, load
from photogram.weights.locate import Checkpoint, inspect
from photogram.weights.plan import Plan

DEFAULT_GUIDANCE = 3.5
DEFAULT_SEED = 46588
DEFAULT_STRENGTH = 0.8

_SHAPES_KEPT = 64

_ModsKey = tuple[str, float, int, int, int, Adapters]
"""What the modulation of all steps depends on: prompt, guidance, steps, those of them that are left
out, image tokens, adapters."""


class Pipeline:
    """A loaded checkpoint that paints.

    Args:
        checkpoint: What the folder holds.
        networks: Its networks, loaded.
        device: Where they run.
        plan: Their precision, and what of them is where.
        deterministic: On a GPU, every picture of a batch takes its step alone, so that its numbers
            do not depend on the others. On a CPU they never do.
        step_cache: As in `from_pretrained`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        networks: Networks,
        device: torch.device,
        plan: Plan,
        *,
        deterministic: bool = False,
        step_cache: float = 0.0,
    ) -> None:
        self.checkpoint = checkpoint
        self.device = device
        self.plan = plan
        self._model = checkpoint.model.in_precision(plan.precision).with_step_cache(step_cache)
        self._networks = networks
        self._transformer: Transformer | StepCache = networks.transformer
        if device.type == "cuda":
            multiply_float32_exactly()
            self._transformer = CudaFlux(networks.transformer)
        if step_cache:
            self._transformer = StepCache(networks.transformer, step_cache)
        self._steps_alone = deterministic and device.type == "cuda"
        self._condition = Conditioner(
            networks, checkpoint.clip_tokens, self.model.max_text_tokens, device
        )
        self._positions = lru_cache(maxsize=_SHAPES_KEPT)(self._make_positions)
        self._adapters = AdapterShelf(networks.transformer, device)
        self._mods: WeakValueDictionary[_ModsKey, Tensor] = WeakValueDictionary()

    @classmethod
    def from_pretrained(
        cls,
        path: Path | str,
        device: str = "auto",
        dtype: torch.dtype | str | None = None,
        *,
        memory: int | None = None,
        deterministic: bool = False,
        step_cache: float = 0.0,
    ) -> "Pipeline":
        """Load a checkpoint.

        Args:
            path: A checkpoint folder, or its transformer's file.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
            dtype: The precision, as a word or in torch's words; None takes bfloat16 where the
                device computes in it, else float32, which paints what diffusers paints in float32.
                ``float8_e4m3fn`` (for GPUs), ``int8`` and ``nf4`` are approximate: of the blocks'
                weights, the rest being bfloat16.
            memory: Bytes that may be taken at most; None: all that the device has.
            deterministic: A picture is the same to the last bit whatever is painted beside it; on a
                CPU it always is, on a GPU batches then gain nothing.
            step_cache: Above 0: a step whose first block changes by a smaller share than this since
                the last whole step skips the others; approximate.

        Raises:
            CheckpointError: The folder cannot be served; the message says why.
            ConfigurationError: There is no such device or precision, or too little memory.
        """
        checkpoint = inspect(Path(path))
        where = choose_device(device)
        if step_cache and not checkpoint.transformer.depth:
            raise ConfigurationError(
                f"a step cache looks at the first double block, and {checkpoint.model.name} has none"
            )
        plan = plan_for(checkpoint, where, choose_precision(where, dtype), memory)
        others = torch.float32 if plan.precision == "float32" else torch.bfloat16
        networks = load(checkpoint, where, others, plan)
        return cls(
            checkpoint, networks, where, plan, deterministic=deterministic, step_cache=step_cache
        )

    @property
    def model(self) -> ModelInfo:
        """What the checkpoint can do; approximate precision is in its name."""
        return self._model

    def generate(  # noqa: PLR0913 - the library's one call; each parameter is an attribute of a picture
        self,
        prompt: str,
        steps: int | None = None,
        guidance: float = DEFAULT_GUIDANCE,
        seed: int = DEFAULT_SEED,
        width: int | None = None,
        height: int | None = None,
        *,
        image: PictureLike | None = None,
        mask: PictureLike | None = None,
        prompt_strength: float = DEFAULT_STRENGTH,
        loras: Mapping[Path, float] | Mapping[str, float] | None = None,
        on_step: Callable[[int], None] | None = None,
    ) -> Image.Image:
        """Paint one picture.

        Args:
            prompt: What it shows.
            steps: Euler steps, at least 1; the model's own default where left out. From an image,
                those of the whole schedule.
            guidance: How closely it follows the prompt; without effect on a model without it.
            seed: Its noise; the same seed paints the same picture.
            width: Pixels, a multiple of `model.size_multiple`; the native square's by default, or
                what of the image's shape has its area.
            height: Pixels, the same.
            image: A picture to begin from: one of Pillow, the bytes of a file, or its path. One of
                another size is scaled.
            mask: As `image`, and as large: white is painted, black stays as it is.
            prompt_strength: 0 to 1: the share of the steps that run, and so how far the picture may
                go from the image; without effect where there is none.
            loras: Files of adapters (LoRA) -> what their changes are multiplied by.
            on_step: Called after every step with the number of steps done.

        Raises:
            InvalidRequestError: A value out of range.
            CheckpointError: An adapter that cannot be read, or is for another model.
            EngineFailedError: The model's numbers overflowed; there is no picture.
        """
        picture, shape = read_pictures(image, mask)
        size = self.model.size("1:1") if picture is None else self.model.size_like(*picture.size)
        width = size[0] if width is None else width
        height = size[1] if height is None else height
        num_steps = self.model.default_steps if steps is None else steps
        source = None
        if picture is not None:
            check_size(self.model, width, height)
            check_strength(prompt_strength)
            source = self.encode(
                scaled(picture, width, height),
                None if shape is None else scaled(shape, width, height),
                first_step=first_step(prompt_strength, num_steps),
            )
        denoising = self.start(
            prompt,
            width=width,
            height=height,
            num_steps=num_steps,
            guidance=guidance,
            seed=seed,
            adapters=[
                (self.load_adapter(Path(path)), scale) for path, scale in (loras or {}).items()
            ],
            source=source,
        )
        while not denoising.is_done:
            self.step([denoising])
            if on_step is not None:
                on_step(denoising.step)
        return Image.fromarray(self.decode(denoising))

    @torch.inference_mode()
    def load_adapter(self, path: Path) -> Adapter:
        """The adapter of a file, from memory if it is there as the file is now.

        Raises:
            CheckpointError: It cannot be read, is none, or is for another model.
        """
        return self._adapters.get(path)

    @torch.inference_mode()
    def encode(
        self, image: NDArray[np.uint8], mask: NDArray[np.uint8] | None = None, *, first_step: int
    ) -> SourceLatents:
        """A picture for others to begin from.

        Args:
            image: (H, W, 3) RGB, of the size in which they are to be painted.
            mask: (H, W) grey, 128 and above is painted; None: all is.
            first_step: Steps of the schedule that are left out.
        """
        vae = self._networks.vae
        return encode(vae, self.checkpoint.autoencoder, image, mask, first_step)

    @torch.inference_mode()
    def start(
        self,
        prompt: str,
        width: int,
        height: int,
        num_steps: int,
        guidance: float,
        seed: int,
        adapters: Sequence[tuple[Adapter, float]] = (),
        source: SourceLatents | None = None,
    ) -> Denoising:
        """A picture as noise, or as noisy as `source` asks for, with all that its steps need.

        Raises:
            InvalidRequestError: A value out of range.
        """
        num_left_out = 0 if source is None else source.first_step
        check_size(self.model, width, height)
        check_run(prompt, num_steps, guidance, seed, num_left_out)
        check_scales(scale for _, scale in adapters)
        own = tuple(Scaled(adapter, scale) for adapter, scale in adapters if scale)
        params = self.checkpoint.transformer
        rows, columns = height // self.model.size_multiple, width // self.model.size_multiple
        conditioning = self._condition(prompt)
        schedule = make_schedule(self.checkpoint.schedule, num_steps, rows * columns)
        schedule = schedule.without_first(num_left_out)
        sigmas = tuple(schedule.sigmas.tolist())
        if source is None:
            noise = latents.noise(seed, params.latent_channels, 2 * rows, 2 * columns)
            img, kept = latents.pack(noise).to(self.device), None
        else:
            img, kept = source.begin(seed, sigmas[0], self.device)
        return Denoising(
            img=img,
            txt=conditioning.txt,
            pe=self._positions(rows, columns),
            mods=self._modulate(
                (prompt, guidance, num_steps, num_left_out, rows * columns, own),
                schedule,
                conditioning,
            ),
            sigmas=sigmas,
            width=width,
            height=height,
            prompt_tokens=conditioning.num_tokens,
            prompt_truncated=conditioning.is_truncated,
            adapters=own,
            kept=kept,
        )

    @torch.inference_mode()
    def step(self, batch: Sequence[Denoising]) -> None:
        """One denoising step of every picture of the batch, whatever their sizes and steps.

        A picture's numbers are the same, to the last bit on a CPU, whatever is in the batch.
        """
        step_batch(self._transformer, batch, alone=self._steps_alone)

    @torch.inference_mode()
    def decode(self, denoising: Denoising) -> NDArray[np.uint8]:
        """The pixels of a picture: (H, W, 3).

        Raises:
            EngineFailedError: The latents or the pixels are not finite numbers.
        """
        image = self._decode(self._unpack(denoising, denoising.img))[0].float()
        if not image.isfinite().all():
            raise EngineFailedError("the model's numbers overflowed; there is no picture")
        pixels = (image / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
        return pixels.permute(1, 2, 0).contiguous().cpu().numpy()

    @torch.inference_mode()
    def preview(self, denoising: Denoising) -> NDArray[np.uint8]:
        """Roughly what a picture will look like, as far as its steps so far tell: (h, w, 3).

        Nothing of the picture itself is changed. The first call costs as much as decoding a small
        picture more.

        Args:
            denoising: At least one step of it is done.

        Raises:
            EngineFailedError: The latents are not finite numbers.
            ValueError: No step is done.
        """
        if denoising.velocity is None:
            raise ValueError("there is nothing to show before the first step")
        sigma = denoising.sigmas[denoising.step]
        img = clean_estimate(denoising.img, denoising.velocity, sigma)
        if denoising.kept is not None:
            img = denoising.kept.put_back(img, 0.0)
        return self._linear_decoder(self._unpack(denoising, img))

    @cached_property
    @torch.inference_mode()
    def _linear_decoder(self) -> LinearDecoder:
        num_channels = self.checkpoint.transformer.latent_channels
        return LinearDecoder(self._decode, num_channels, self.device)

    def _unpack(self, denoising: Denoising, img: Tensor) -> Tensor:
        """Packed latents as (1, C, h, w)."""
        multiple = self.model.size_multiple
        return latents.unpack(img, denoising.height // multiple, denoising.width // multiple)

    def _decode(self, x: Tensor) -> Tensor:
        """(1, C, h, w) scaled latents -> (1, 3, H, W), about -1 to 1."""
        autoencoder = self.checkpoint.autoencoder
        x = x / autoencoder.scaling_factor + autoencoder.shift_factor
        x = x.to(self._networks.vae.dtype, memory_format=torch.channels_last)
        image: Tensor = self._networks.decoder(x)
        return image

    def _modulate(self, key: _ModsKey, schedule: Schedule, conditioning: Conditioning) -> Tensor:
        """The modulation of all steps; samples that differ in their seed alone share it."""
        mods = self._mods.get(key)
        if mods is None:
            _, guidance, _, _, _, own = key
            strength = torch.tensor([guidance], dtype=torch.float32, device=self.device)
            mods = self._mods[key] = self._networks.transformer.modulate(
                schedule.timesteps.to(self.device),
                strength if self.checkpoint.transformer.guidance_embed else None,
                conditioning.vec,
                own,
            )
        return mods

    def _make_positions(self, rows: int, columns: int) -> Tensor:
        ids = latents.position_ids(rows, columns, self.model.max_text_tokens)
        return rope(ids, self.checkpoint.transformer.axes_dim).to(self.device)
