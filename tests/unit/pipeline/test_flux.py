from pathlib import Path

import numpy as np
import pytest
import torch

import photogram
from photogram.core.errors import (
    CheckpointError,
    ConfigurationError,
    EngineFailedError,
    InvalidRequestError,
)
from photogram.pipeline.flux import Pipeline
from tests.tiny import write_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Pipeline:
    return Pipeline.from_pretrained(folder, device="cpu", dtype=torch.float32)


def test_library_paints_at_the_native_size(pipeline: Pipeline) -> None:
    steps: list[int] = []
    picture = pipeline.generate("a red cat", steps=3, on_step=steps.append)
    assert picture.size == (64, 64)
    assert picture.mode == "RGB"
    assert steps == [1, 2, 3]
    assert photogram.Pipeline is Pipeline


def test_same_seed_same_picture_other_seed_another(pipeline: Pipeline) -> None:
    first, again, other = (
        np.asarray(pipeline.generate("a red cat", steps=2, seed=seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_prompt_and_guidance_matter(pipeline: Pipeline) -> None:
    pictures = [
        np.asarray(pipeline.generate(prompt, steps=2, guidance=guidance)).tobytes()
        for prompt, guidance in (("a red cat", 1), ("a red cat", 9), ("a blue dog", 1))
    ]
    assert len(set(pictures)) == 3


def test_bfloat16_paints_nearly_the_same(folder: Path, pipeline: Pipeline) -> None:
    fast = Pipeline.from_pretrained(folder, device="cpu", dtype=torch.bfloat16)
    a = np.asarray(fast.generate("a red cat", steps=4)).astype(float)
    b = np.asarray(pipeline.generate("a red cat", steps=4)).astype(float)
    assert np.abs(a - b).mean() < 4


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_packed_weights_paint_nearly_the_same(
    folder: Path, pipeline: Pipeline, precision: str
) -> None:
    small = Pipeline.from_pretrained(folder, device="cpu", dtype=precision)
    assert small.model.slug == f"{pipeline.model.slug}-{precision}"
    a = np.asarray(small.generate("a red cat", steps=4)).astype(float)
    b = np.asarray(pipeline.generate("a red cat", steps=4)).astype(float)
    assert 0 < np.abs(a - b).mean() < 8


def test_step_cache_paints_nearly_the_same_and_in_any_batch_alike(folder: Path) -> None:
    exact, cached = (
        Pipeline.from_pretrained(folder, "cpu", "float32", step_cache=share) for share in (0, 1)
    )
    assert cached.model.slug == f"{exact.model.slug}-cache"
    alone, among, mate = (
        cached.start(prompt, 64, side, 6, 3.5, 1)
        for prompt, side in (("a red cat", 64), ("a red cat", 64), ("a dog", 32))
    )
    memories = []
    for _ in range(6):
        cached.step([alone])
        cached.step([mate, among])
        memories.append(among.remembered)
        assert torch.equal(alone.img, among.img)
    assert len({id(memory) for memory in memories}) < 6  # some steps were skipped
    picture = np.asarray(exact.generate("a red cat", steps=6, seed=1)).astype(float)
    assert 0 < np.abs(cached.decode(among) - picture).mean() < 32


def test_step_cache_needs_a_first_double_block(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny", num_layers=0)
    with pytest.raises(ConfigurationError, match="double block"):
        Pipeline.from_pretrained(folder, "cpu", step_cache=0.1)


def test_denoising_counts_its_steps_and_tokens(pipeline: Pipeline) -> None:
    denoising = pipeline.start("a red cat", 32, 48, num_steps=2, guidance=1, seed=0)
    assert (denoising.num_steps, denoising.step, denoising.is_done) == (2, 0, False)
    assert denoising.num_tokens == 12 + 2 * 3
    assert (denoising.prompt_tokens, denoising.prompt_truncated) == (4, False)
    pipeline.step([denoising])
    pipeline.step([denoising])
    assert denoising.is_done
    assert pipeline.decode(denoising).shape == (48, 32, 3)


def test_known_prompt_runs_neither_encoder(pipeline: Pipeline) -> None:
    ran: list[str] = []
    networks = pipeline._networks
    hooks = [
        network.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, network in (("clip", networks.text_encoder), ("t5", networks.text_encoder_2))
    ]
    try:
        first = pipeline.generate("a green tree", steps=1, seed=1)
        assert sorted(ran) == ["clip", "t5"]
        again = pipeline.generate("a green tree", steps=1, seed=1)
        pipeline.generate("a green tree", steps=2, guidance=7, seed=2, width=32, height=96)
        assert sorted(ran) == ["clip", "t5"]
    finally:
        for hook in hooks:
            hook.remove()
    assert np.array_equal(np.asarray(first), np.asarray(again))


def test_samples_that_differ_in_their_seed_alone_share_their_modulation(pipeline: Pipeline) -> None:
    first = pipeline.start("a red cat", 32, 48, num_steps=2, guidance=1, seed=0)
    assert pipeline.start("a red cat", 48, 32, num_steps=2, guidance=1, seed=1).mods is first.mods
    for values in (("a dog", 32, 48, 2, 1, 0), ("a red cat", 32, 32, 2, 1, 0),
                   ("a red cat", 32, 48, 3, 1, 0), ("a red cat", 32, 48, 2, 2, 0)):  # fmt: skip
        assert pipeline.start(*values).mods is not first.mods


def test_long_prompt_is_cut_and_counted(pipeline: Pipeline) -> None:
    exact = pipeline.start("cat " * 11, 16, 16, num_steps=1, guidance=1, seed=0)
    assert (exact.prompt_tokens, exact.prompt_truncated) == (12, False)
    long = pipeline.start("cat " * 2500, 16, 16, num_steps=1, guidance=1, seed=0)
    assert (long.prompt_tokens, long.prompt_truncated) == (2501, True)
    assert torch.equal(long.txt, exact.txt)


@pytest.mark.parametrize("prompt", ["", "猫と犬 🐈‍⬛ кошка", "\u202e\u0301", "<pad></s>"])
def test_any_prompt_is_painted(pipeline: Pipeline, prompt: str) -> None:
    assert pipeline.generate(prompt, steps=1, width=16, height=16).size == (16, 16)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"width": 100}, "width: 100 is not a multiple of 16; the nearest are 96 and 112"),
        ({"height": 8}, "height: 8 is not a multiple of 16; the nearest are 16 and 32"),
        ({"height": 0}, "height: 0"),
        ({"width": -16}, "width: -16"),
        ({"steps": 0}, "steps: 0 is less than 1"),
        ({"seed": -1}, "seed: -1"),
        ({"seed": 2**64}, "seed: 18446744073709551616"),
        ({"guidance": float("nan")}, "guidance: nan"),
        ({"prompt": "a \ud83d cat"}, "prompt: .* surrogate"),
    ],
)
def test_value_out_of_range_is_refused(
    pipeline: Pipeline, values: dict[str, int], sentence: str
) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        pipeline.generate(**{"prompt": "a cat"} | values)


def test_overflow_is_an_error_and_no_black_picture(pipeline: Pipeline) -> None:
    mate = pipeline.start("a cat", 32, 32, num_steps=1, guidance=1, seed=0)
    expected = np.asarray(pipeline.generate("a cat", 1, 1, 0, 32, 32))
    broken = pipeline.start("a cat", 16, 16, num_steps=1, guidance=1, seed=0)
    broken.img = broken.img * float("nan")
    pipeline.step([broken, mate])
    with pytest.raises(EngineFailedError):
        pipeline.decode(broken)
    assert np.array_equal(pipeline.decode(mate), expected), "it fails alone"


def test_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        Pipeline.from_pretrained(tmp_path / "nothing")
