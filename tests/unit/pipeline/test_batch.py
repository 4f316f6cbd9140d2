"""A picture is the same, to the last bit, whatever is painted beside it."""

import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from photogram.pipeline.batch import Denoising, step_batch
from photogram.pipeline.flux import Pipeline
from tests.tiny import write_checkpoint

Request = tuple[str, int, int, int, float, int]

requests = st.tuples(
    st.sampled_from(["a red cat", "a blue dog on the tree", ""]),
    st.integers(1, 6).map(lambda side: 16 * side),
    st.integers(1, 6).map(lambda side: 16 * side),
    st.integers(1, 6),
    st.floats(0, 10, width=32),
    st.integers(0, 2**32 - 1),
)


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def pipeline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    folder = write_checkpoint(tmp_path_factory.mktemp("tiny"), num_heads=3, num_single_layers=2)
    return Pipeline.from_pretrained(folder, device="cpu", dtype=request.param)


def paint_alone(pipeline: Pipeline, request: Request) -> NDArray[np.uint8]:
    denoising = pipeline.start(*request)
    while not denoising.is_done:
        pipeline.step([denoising])
    return pipeline.decode(denoising)


def paint_together(
    pipeline: Pipeline, batch: list[Request], order: random.Random
) -> list[NDArray[np.uint8]]:
    """Requests join, pause and leave at random steps."""
    pictures: list[Denoising] = [pipeline.start(*request) for request in batch]
    while running := [picture for picture in pictures if not picture.is_done]:
        pipeline.step(order.sample(running, order.randint(1, len(running))))
    return [pipeline.decode(picture) for picture in pictures]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batch=st.lists(requests, min_size=2, max_size=4), order=st.randoms(use_true_random=False))
def test_picture_does_not_depend_on_its_batch(
    pipeline: Pipeline, batch: list[Request], order: random.Random
) -> None:
    together = paint_together(pipeline, batch, order)
    for request, picture in zip(batch, together, strict=True):
        assert np.array_equal(paint_alone(pipeline, request), picture)


def test_latents_are_the_same_to_the_last_bit(pipeline: Pipeline) -> None:
    alone = pipeline.start("a red cat", 16, 16, 3, 2.0, 1)
    among = pipeline.start("a red cat", 16, 16, 3, 2.0, 1)
    mates = [pipeline.start("a dog", 16 * n, 32, 5, 7.0, n) for n in range(1, 5)]
    for _ in range(3):
        pipeline.step([alone])
        pipeline.step([*mates[:2], among, *mates[2:]])
        assert torch.equal(alone.img, among.img)


def test_pictures_that_step_alone_are_the_same(pipeline: Pipeline) -> None:
    together, alone = (
        [pipeline.start("a red cat", 16, 16 * n, 2, 2.0, n) for n in (1, 3)] for _ in range(2)
    )
    transformer = pipeline._networks.transformer
    with torch.inference_mode():
        step_batch(transformer, together)
        step_batch(transformer, alone, alone=True)
    for one, other in zip(together, alone, strict=True):
        assert one.step == other.step == 1
        assert torch.equal(one.img, other.img)


def test_a_step_that_fails_moves_no_picture(pipeline: Pipeline) -> None:
    good = pipeline.start("a red cat", 16, 16, 2, 2.0, 1)
    before = good.img.clone()
    broken = pipeline.start("a red cat", 16, 16, 2, 2.0, 1)
    broken.sigmas = broken.sigmas[:1]
    with pytest.raises(TypeError):
        pipeline.step([good, broken])
    assert good.step == 0
    assert torch.equal(good.img, before)
