"""Whole pictures equal diffusers' FluxPipeline on the same checkpoint, seed and prompt."""

import warnings

import diffusers
import numpy as np
import pytest
import torch
import transformers
from diffusers import FluxPipeline

from photogram.pipeline.flux import Pipeline
from tests.tiny import write_checkpoint

PROMPT = "a red cat on the blue house with a tree"
CHECKPOINTS = {
    "dev": {},
    "schnell, static shift, whole words": {
        "guidance_embeds": False,
        "dynamic_shift": False,
        "tokenizer_2": "wordlevel",
    },
    "byte pairs, cut text, f16": {
        "tokenizer_2": "bpe",
        "text_length": 7,
        "vae_blocks": (8, 8, 8, 16, 16),
    },
    "no text limit": {"dynamic_shift": False, "text_length": None},
}


@pytest.fixture(scope="module", params=CHECKPOINTS)
def pipelines(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Pipeline, FluxPipeline]:
    folder = write_checkpoint(tmp_path_factory.mktemp("tiny"), seed=3, **CHECKPOINTS[request.param])
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = FluxPipeline.from_pretrained(folder)
    theirs.set_progress_bar_config(disable=True)
    return Pipeline.from_pretrained(folder, dtype=torch.float32), theirs


@pytest.mark.parametrize("num_steps", [1, 4, 25])
@pytest.mark.parametrize("size", [(64, 64), (96, 32), (32, 128)])
def test_picture_equals_diffusers(
    pipelines: tuple[Pipeline, FluxPipeline],
    size: tuple[int, int],
    num_steps: int,
) -> None:
    ours, theirs = pipelines
    width, height = size
    picture = np.asarray(
        ours.generate(PROMPT, steps=num_steps, guidance=2.0, seed=7, width=width, height=height)
    )
    expected = theirs(
        PROMPT,
        width=width,
        height=height,
        num_inference_steps=num_steps,
        guidance_scale=2.0,
        generator=torch.Generator("cpu").manual_seed(7),
        max_sequence_length=ours.model.max_text_tokens,
        output_type="np",
    ).images[0]
    difference = np.abs(picture.astype(float) - (expected * 255).round()).max()
    assert difference <= 1, f"{difference:.0f}/255"
    assert picture.std() > 10, "a flat picture proves nothing"
