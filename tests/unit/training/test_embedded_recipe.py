"""The recipe's parts that need no data: latent space, sizes, optimizer, flow."""

import numpy as np
import torch

from training.autoencoder.codec import LinearCodec
from training.data.names import slugify
from training.data.pictures import compose, load_concepts
from training.export.profile import RATIOS, build_profile, size_of_ratio
from training.muon import orthogonalise
from training.tokenizers.build import build_clip_tokenizer, build_t5_tokenizer
from training.train.flow import image_ids, mix, pack
from training.train.phases import HALF, NATIVE, PHASES


def test_concepts_include_computers_and_have_unique_names():
    names = [concept.name for concept in load_concepts(240)]
    assert len(names) == len(set(names)) == 240
    assert "desktop computer" in names
    assert "laptop" in names


def test_no_word_names_two_concepts():
    words = [word for c in load_concepts(240) for word in (c.name, *c.synonyms)]
    assert len(words) == len(set(words))


def test_linear_codec_is_invertible_on_what_it_keeps_and_has_unit_power():
    rng = np.random.default_rng(0)
    pictures = rng.random((8, 64, 64, 3)).astype(np.float32)
    codec = LinearCodec.fit(pictures)
    latents = codec.encode(torch.from_numpy(pictures).permute(0, 3, 1, 2) * 2 - 1)
    assert latents.shape == (8, 16, 4, 4)
    assert torch.allclose(codec.encode(codec.decode(latents)), latents, atol=1e-3)
    assert abs(float(latents.square().mean()) - 1) < 0.05


def test_compose_shows_background_where_picture_is_transparent():
    rgba = np.zeros((256, 256, 4), np.uint8)
    rgba[100:150, 100:150] = (255, 0, 0, 255)
    canvas = compose(rgba, (0.0, 0.0, 1.0), 288, 192)
    assert canvas.shape == (192, 288, 3)
    assert np.allclose(canvas[0, 0], (0, 0, 1))
    assert canvas[96, 140, 0] > 0.9


def test_slug_of_a_name_with_a_curly_apostrophe():
    assert slugify("Jack-o\u2019-lantern") == "jack-o-lantern"


def test_profile_sizes_are_multiples_of_32_and_mirrored():
    for width, height in RATIOS:
        sides = size_of_ratio(width, height)
        assert all(side % 32 == 0 for side in sides)
        assert sides == size_of_ratio(height, width)[::-1]
    assert size_of_ratio(1, 1) == [256, 256]
    assert len(build_profile(load_concepts(80))["suggested_prompts"]) >= 6


def test_every_size_that_the_profile_offers_is_trained():
    offered = {tuple(size_of_ratio(*ratio)) for ratio in RATIOS}
    assert offered == {(256, 256), *NATIVE}
    # as the product halves a size: to the nearest multiple of 32, ties to even
    halves = {tuple(round(side / 64) * 32 for side in size) for size in offered}
    assert halves == set(HALF)
    for phase in (PHASES["large"], PHASES["distill"]):
        assert {(c.width, c.height) for c in phase.canvases} == offered | halves


def test_orthogonalise_brings_singular_values_near_one():
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(64, 32)))
    assert values.max() < 1.4
    assert values.min() > 0.5


def test_packing_matches_positions_and_mix_interpolates():
    latents = torch.arange(2 * 16 * 4 * 6, dtype=torch.float32).view(2, 16, 4, 6)
    packed = pack(latents)
    assert packed.shape == (2, 6, 64)
    assert torch.equal(packed[0, 1, :2], latents[0, 0, 0, 2:4])
    assert image_ids(4, 6).tolist()[4] == [0, 1, 1]
    assert image_ids(8, 8, spread=2).tolist()[0] == [0, 0.5, 0.5]
    ends = mix(torch.zeros(2, 1, 1), torch.ones(2, 1, 1), torch.tensor([0.0, 1.0]))
    assert ends.flatten().tolist() == [0.0, 1.0]


def test_tokenizers_are_made_the_same_every_time():
    captions = ["a red apple on a blue background", "two cats next to a dog"] * 20
    first, second = (build_clip_tokenizer(captions, 300).get_vocab() for _ in range(2))
    assert first == second
    t5 = build_t5_tokenizer(["a", "red", "apple"], {"apple"})
    assert t5.tokenize("a red Apple") == ["▁a", "▁red", "▁Apple"]
    assert t5.model_max_length == 64
