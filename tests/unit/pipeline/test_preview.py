"""Previews: drawn from latents alone, like the picture, and without touching it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from photogram.core.errors import EngineFailedError
from photogram.pipeline.flux import Pipeline
from photogram.pipeline.preview import MOST_PIXELS, LinearDecoder
from tests.tiny import write_checkpoint

EMBEDDED = sorted((Path(__file__).parents[3] / "models").glob("*/model_index.json"))[0].parent


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    folder = write_checkpoint(tmp_path_factory.mktemp("tiny"), latent_channels=16)
    return Pipeline.from_pretrained(folder, device="cpu", dtype=torch.float32)


def test_a_decoder_that_is_linear_is_found_as_it_is() -> None:
    generator = torch.Generator().manual_seed(1)
    kernel = 0.1 * torch.randn(4, 3, 8, 8, generator=generator)

    def decode(latents: Tensor) -> Tensor:
        return functional.conv_transpose2d(latents, kernel, torch.full((3,), 0.1), stride=8)

    latents = torch.randn(1, 4, 6, 10, generator=generator)
    expected = (decode(latents)[0] / 2 + 0.5).clamp(0, 1) * 255
    pixels = LinearDecoder(decode, 4, torch.device("cpu"))(latents)
    assert pixels.shape == (48, 80, 3)
    assert np.abs(pixels - expected.permute(1, 2, 0).numpy()).max() < 2


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [(64, 48, (48, 64, 3)), (256, 16, (16, 256, 3)), (1024, 512, (128, 256, 3))],
)
def test_a_preview_has_the_form_of_its_picture_and_a_bounded_size(
    pipeline: Pipeline, width: int, height: int, shape: tuple[int, int, int]
) -> None:
    denoising = pipeline.start("a cat", width, height, num_steps=2, guidance=1, seed=0)
    if denoising.num_tokens < 1000:
        pipeline.step([denoising])
    else:  # a step of so many tokens would take seconds
        denoising.velocity = torch.zeros_like(denoising.img)
    preview = pipeline.preview(denoising)
    assert (preview.shape, preview.dtype) == (shape, np.uint8)
    assert max(preview.shape) <= MOST_PIXELS


def test_previews_change_nothing_of_the_picture(pipeline: Pipeline) -> None:
    pictures: list[NDArray[np.uint8]] = []
    for with_previews in (False, True):
        batch = [pipeline.start("a cat", 64, 64, num_steps=4, guidance=1, seed=s) for s in (1, 2)]
        while not batch[0].is_done:
            pipeline.step(batch)
            if with_previews:
                pipeline.preview(batch[0])
        pictures += [pipeline.decode(each) for each in batch]
    assert np.array_equal(pictures[0], pictures[2])
    assert np.array_equal(pictures[1], pictures[3])


def test_the_same_latents_give_the_same_preview(pipeline: Pipeline) -> None:
    denoising = pipeline.start("a cat", 64, 64, num_steps=2, guidance=1, seed=1)
    pipeline.step([denoising])
    assert np.array_equal(pipeline.preview(denoising), pipeline.preview(denoising))


def test_there_is_nothing_to_show_before_the_first_step(pipeline: Pipeline) -> None:
    denoising = pipeline.start("a cat", 64, 64, num_steps=2, guidance=1, seed=1)
    with pytest.raises(ValueError, match="before the first step"):
        pipeline.preview(denoising)


def test_numbers_that_overflowed_are_not_shown(pipeline: Pipeline) -> None:
    denoising = pipeline.start("a cat", 64, 64, num_steps=2, guidance=1, seed=1)
    pipeline.step([denoising])
    denoising.img = denoising.img * float("nan")
    with pytest.raises(EngineFailedError):
        pipeline.preview(denoising)


def test_previews_of_the_embedded_model_come_ever_closer_to_the_picture() -> None:
    pipeline = Pipeline.from_pretrained(EMBEDDED, device="cpu")
    prompt = pipeline.model.suggested_prompts[0]
    denoising = pipeline.start(prompt, 256, 256, num_steps=8, guidance=3.5, seed=1)
    previews = []
    while not denoising.is_done:
        pipeline.step([denoising])
        previews.append(pipeline.preview(denoising))
    picture = pipeline.decode(denoising)
    first, half, last = (_psnr(previews[n], picture) for n in (0, 3, 7))
    assert first < half < last
    assert last > 22


def _psnr(pixels: NDArray[np.uint8], others: NDArray[np.uint8]) -> float:
    """Of pictures of one size, in decibels."""
    error = np.mean((pixels.astype(float) - others.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / error))
