"""Pictures from pictures equal diffusers' with the same checkpoint, seed, picture and mask."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
import transformers
from diffusers import FluxImg2ImgPipeline, FluxInpaintPipeline, FluxPipeline
from numpy.typing import NDArray
from PIL import Image

from photogram.core.strength import first_step
from photogram.pipeline.flux import Pipeline
from tests.tiny import write_checkpoint

EMBEDDED = Path(__file__).parents[2] / "models" / "photogram-mini"
PROMPT = "a red cat on the blue house"
CHECKPOINTS = {
    "dev": {},
    "schnell, static shift, f16": {
        "guidance_embeds": False,
        "dynamic_shift": False,
        "vae_blocks": (8, 8, 8, 16, 16),
    },
}
CASES = [((64, 64), 4, 0.5), ((96, 32), 5, 0.8), ((32, 64), 3, 1.0), ((32, 32), 10, 0.1)]


@dataclass
class Peers:
    """The same networks in both hands."""

    ours: Pipeline
    theirs: FluxPipeline

    def paint(
        self,
        image: NDArray[np.uint8],
        mask: NDArray[np.uint8] | None,
        num_steps: int,
        strength: float,
    ) -> NDArray[np.uint8]:
        height, width, _ = image.shape
        source = self.ours.encode(image, mask, first_step=first_step(strength, num_steps))
        denoising = self.ours.start(PROMPT, width, height, num_steps, 2.0, 7, source=source)
        while not denoising.is_done:
            self.ours.step([denoising])
        return self.ours.decode(denoising)

    def expect(
        self,
        image: NDArray[np.uint8],
        mask: NDArray[np.uint8] | None,
        num_steps: int,
        strength: float,
    ) -> NDArray[np.float32]:
        height, width, _ = image.shape
        kind = FluxImg2ImgPipeline if mask is None else FluxInpaintPipeline
        pipeline = kind(**self.theirs.components)
        pipeline.set_progress_bar_config(disable=True)
        masks = {} if mask is None else {"mask_image": Image.fromarray(mask)}
        picture = pipeline(
            PROMPT,
            image=Image.fromarray(image),
            **masks,
            strength=strength,
            width=width,
            height=height,
            num_inference_steps=num_steps,
            guidance_scale=2.0,
            generator=torch.Generator("cpu").manual_seed(7),
            max_sequence_length=self.ours.model.max_text_tokens,
            output_type="np",
        ).images[0]
        return np.asarray((picture * 255).round(), dtype=np.float32)


def load(folder: Path) -> Peers:
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = FluxPipeline.from_pretrained(folder)
    return Peers(Pipeline.from_pretrained(folder, dtype=torch.float32), theirs)


@pytest.fixture(scope="module", params=CHECKPOINTS)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Peers:
    folder = tmp_path_factory.mktemp("tiny")
    return load(write_checkpoint(folder, seed=3, **CHECKPOINTS[request.param]))


def picture(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def mask_of(width: int, height: int) -> NDArray[np.uint8]:
    """Greys of all kinds, in blots of a few latents."""
    blots = np.random.default_rng(height).integers(0, 256, (height // 8, width // 8), np.uint8)
    return np.ascontiguousarray(np.kron(blots, np.ones((8, 8), np.uint8)))


def assert_equal(painted: NDArray[np.uint8], expected: NDArray[np.float32]) -> None:
    difference = np.abs(painted - expected).max()
    assert difference <= 1, f"{difference:.0f}/255"
    assert painted.std() > 10, "a flat picture proves nothing"


@pytest.mark.parametrize(("size", "num_steps", "strength"), CASES)
@pytest.mark.parametrize("has_mask", [False, True])
def test_picture_equals_diffusers(
    tiny: Peers, size: tuple[int, int], num_steps: int, strength: float, *, has_mask: bool
) -> None:
    image, mask = picture(*size), mask_of(*size) if has_mask else None
    painted = tiny.paint(image, mask, num_steps, strength)
    assert_equal(painted, tiny.expect(image, mask, num_steps, strength))


def test_embedded_model_equals_diffusers() -> None:
    peers = load(EMBEDDED)
    rows, columns = np.mgrid[:256, :256]
    image = np.stack([rows, columns, 255 - rows], axis=-1).astype(np.uint8)
    mask = np.where((rows - 128) ** 2 + (columns - 128) ** 2 < 80**2, 255, 0).astype(np.uint8)
    for each in (None, mask):
        assert_equal(peers.paint(image, each, 5, 0.6), peers.expect(image, each, 5, 0.6))


def test_step_counts_differ_from_diffusers_only_where_floats_round() -> None:
    pipeline = FluxImg2ImgPipeline.__new__(FluxImg2ImgPipeline)
    different = []
    for num_steps in range(1, 51):
        scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
        scheduler.set_timesteps(num_steps)
        pipeline.__dict__["scheduler"] = scheduler
        for strength in (hundredths / 100 for hundredths in range(1, 101)):
            _, num_run = pipeline.get_timesteps(num_steps, strength, "cpu")
            if num_run != num_steps - first_step(strength, num_steps):
                different.append((strength, num_steps))
    assert different == [(0.56, 25), (0.56, 50)]
