import torch
from diffusers.utils.torch_utils import randn_tensor

from photogram.sampling import latents


def test_seed_means_what_it_means_in_diffusers() -> None:
    generator = torch.Generator("cpu").manual_seed(46588)
    expected = randn_tensor((1, 16, 12, 8), generator=generator, dtype=torch.float32)
    assert torch.equal(latents.noise(46588, channels=16, height=12, width=8), expected)


def test_only_the_low_32_bits_of_a_seed_count_as_in_torchs_generator() -> None:
    assert torch.equal(latents.noise(2**32 + 2, 4, 2, 2), latents.noise(2, 4, 2, 2))
    assert not torch.equal(latents.noise(2**32 - 1, 4, 2, 2), latents.noise(2, 4, 2, 2))


def test_unpack_is_the_inverse_of_pack() -> None:
    noise = latents.noise(1, channels=4, height=6, width=10)
    tokens = latents.pack(noise)
    assert tokens.shape == (15, 16)
    assert torch.equal(latents.unpack(tokens, rows=3, columns=5), noise)


def test_token_is_a_patch_channel_by_channel() -> None:
    picture = torch.arange(2 * 4 * 4).view(1, 2, 4, 4)
    assert latents.pack(picture)[1].tolist() == [2, 3, 6, 7, 18, 19, 22, 23]


def test_positions_are_zero_for_text_and_a_grid_for_the_picture() -> None:
    ids = latents.position_ids(rows=2, columns=3, text_length=2)
    assert ids.tolist() == [
        [0, 0, 0], [0, 0, 0],
        [0, 0, 0], [0, 0, 1], [0, 0, 2],
        [0, 1, 0], [0, 1, 1], [0, 1, 2],
    ]  # fmt: skip
