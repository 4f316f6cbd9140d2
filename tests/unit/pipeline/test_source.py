"""Pictures that begin from others."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from photogram.core.errors import InvalidRequestError
from photogram.pipeline.batch import Denoising
from photogram.pipeline.flux import Pipeline
from photogram.pipeline.source import SourceLatents
from photogram.sampling import latents
from tests.tiny import write_checkpoint

SIZE = 64
IMAGE = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
OTHER = 255 - IMAGE
LEFT = np.zeros((SIZE, SIZE), np.uint8)
LEFT[:, : SIZE // 2] = 255


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    folder = write_checkpoint(tmp_path_factory.mktemp("tiny"))
    return Pipeline.from_pretrained(folder, device="cpu", dtype=torch.float32)


def start(pipeline: Pipeline, source: SourceLatents, num_steps: int = 4) -> Denoising:
    return pipeline.start("a red cat", SIZE, SIZE, num_steps, 2.0, seed=7, source=source)


def run(pipeline: Pipeline, source: SourceLatents, num_steps: int = 4) -> Denoising:
    denoising = start(pipeline, source, num_steps)
    while not denoising.is_done:
        pipeline.step([denoising])
    return denoising


def paint(pipeline: Pipeline, source: SourceLatents, num_steps: int = 4) -> NDArray[np.uint8]:
    return pipeline.decode(run(pipeline, source, num_steps))


def test_only_the_steps_that_are_left_run_and_are_prepared(pipeline: Pipeline) -> None:
    denoising = start(pipeline, pipeline.encode(IMAGE, first_step=3), num_steps=5)
    assert (denoising.num_steps, denoising.step, len(denoising.mods)) == (2, 0, 2)
    whole = start(pipeline, pipeline.encode(IMAGE, first_step=0), num_steps=5)
    assert denoising.sigmas == whole.sigmas[3:]


def test_all_steps_make_nothing_of_the_image(pipeline: Pipeline) -> None:
    first, other = (paint(pipeline, pipeline.encode(each, first_step=0)) for each in (IMAGE, OTHER))
    assert np.array_equal(first, other)


def test_fewer_steps_stay_nearer_to_the_image(pipeline: Pipeline) -> None:
    clean = run(pipeline, pipeline.encode(IMAGE, first_step=10), 10).img
    distances = [
        (run(pipeline, pipeline.encode(IMAGE, first_step=first), 10).img - clean).norm().item()
        for first in (9, 6, 3, 0)
    ]
    assert distances == sorted(distances)


def test_no_step_passes_the_image_through_the_autoencoder_alone(pipeline: Pipeline) -> None:
    source = pipeline.encode(IMAGE, first_step=4)
    denoising = start(pipeline, source)
    assert denoising.is_done
    assert denoising.num_steps == 0
    chosen = latents.noise(7, *source.mean.shape[1:])
    assert torch.equal(denoising.img, latents.pack(source.mean + source.std * chosen))


def test_what_is_black_in_the_mask_stays_and_the_rest_is_painted(pipeline: Pipeline) -> None:
    painted = run(pipeline, pipeline.encode(IMAGE, LEFT, first_step=1)).img
    untouched = start(pipeline, pipeline.encode(IMAGE, first_step=4)).img
    img, clean = (latents.unpack(each, 4, 4) for each in (painted, untouched))
    assert torch.equal(img[..., 4:], clean[..., 4:])
    assert not torch.isclose(img[..., :4], clean[..., :4], atol=1e-3).any()


@pytest.mark.parametrize(
    ("grey", "is_painted"), [(255, True), (128, True), (127, False), (0, False)]
)
def test_a_mask_of_one_grey_is_all_or_nothing(
    pipeline: Pipeline, grey: int, *, is_painted: bool
) -> None:
    mask = np.full((SIZE, SIZE), grey, np.uint8)
    painted = paint(pipeline, pipeline.encode(IMAGE, mask, first_step=2))
    expected = pipeline.encode(IMAGE, first_step=2 if is_painted else 4)
    assert np.array_equal(painted, paint(pipeline, expected))


def test_a_preview_shows_what_the_mask_keeps_as_it_is(pipeline: Pipeline) -> None:
    denoising = start(pipeline, pipeline.encode(IMAGE, np.zeros_like(LEFT), first_step=1))
    pipeline.step([denoising])
    early = pipeline.preview(denoising)
    pipeline.step([denoising])
    assert np.array_equal(early, pipeline.preview(denoising))


@pytest.mark.parametrize("first_step", [-1, 5])
def test_more_steps_than_there_are_cannot_be_left_out(pipeline: Pipeline, first_step: int) -> None:
    with pytest.raises(InvalidRequestError, match="first_step"):
        start(pipeline, pipeline.encode(IMAGE, first_step=first_step))
