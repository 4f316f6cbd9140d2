import dataclasses

import pytest

from photogram.model.params import FluxParams

PARAMS = FluxParams(
    in_channels=64,
    out_channels=64,
    vec_in_dim=768,
    context_in_dim=4096,
    hidden_size=3072,
    num_heads=24,
    depth=19,
    depth_single_blocks=38,
    axes_dim=(16, 56, 56),
    guidance_embed=True,
)


def test_dev_has_128_channels_per_head_and_344_modulation_vectors() -> None:
    assert PARAMS.head_dim == 128
    assert PARAMS.latent_channels == 16
    assert PARAMS.num_modulations == 344


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        ({"hidden_size": 3001}, ("3001", "24")),
        ({"axes_dim": (16, 56, 58)}, ("130", "128")),
        ({"axes_dim": (128, 0, 0)}, ("128, 0, 0", "even")),
        ({"axes_dim": (64, 64)}, ("64, 64", "three")),
        ({"out_channels": 32}, ("64", "32")),
        ({"in_channels": 62, "out_channels": 62}, ("62", "4")),
        ({"num_heads": 0}, ("num_heads", "0")),
        ({"depth": -1}, ("-1", "38")),
    ],
)
def test_numbers_that_do_not_fit_are_both_named(
    values: dict[str, int], numbers: tuple[str, str]
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the loop below matches the message
        dataclasses.replace(PARAMS, **values)
    for number in numbers:
        assert number in str(caught.value)
