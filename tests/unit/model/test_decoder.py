import pytest
import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.nn import functional

from photogram.model.decoder import (
    NUMBERS_AT_ONCE,
    Decoder,
    DecoderParams,
    Upsample,
    convolve,
    upsampling_kernel,
)
from tests.tiny import scaled


def test_upsampling_is_doubling_and_then_a_convolution() -> None:
    weight, x = torch.randn(5, 5, 3, 3), torch.randn(1, 5, 7, 4)
    layer = Upsample(5).requires_grad_(requires_grad=False)
    layer.conv.weight.copy_(upsampling_kernel(weight))
    doubled = functional.interpolate(x, scale_factor=2.0, mode="nearest")
    expected = functional.conv2d(doubled, weight, layer.conv.bias, padding=1)
    assert torch.allclose(layer(x), expected, atol=1e-5)


@pytest.mark.parametrize("has_attention", [True, False])
@pytest.mark.parametrize(("channels", "num_groups"), [((8, 16, 16), 4), ((4, 8, 8, 12), 1)])
def test_decoder_equals_diffusers(
    channels: tuple[int, ...], num_groups: int, has_attention: bool
) -> None:
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=num_groups,
        mid_block_add_attention=has_attention,
        use_post_quant_conv=False,
    )
    theirs = scaled(vae).requires_grad_(requires_grad=False).decoder
    ours = Decoder(
        DecoderParams(
            latent_channels=4,
            channels=channels,
            num_resnets=2,
            num_groups=num_groups,
            has_attention=has_attention,
        )
    ).requires_grad_(requires_grad=False)
    ours.load_state_dict(
        {
            name: upsampling_kernel(x) if "upsamplers" in name and x.ndim == 4 else x
            for name, x in theirs.state_dict().items()
        }
    )
    latents = torch.randn(1, 4, 6, 4)
    expected = theirs(latents)
    assert torch.allclose(ours(latents), expected, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_strips_share_the_whole_pictures_norms(dtype: torch.dtype) -> None:
    norm, conv = nn.GroupNorm(4, 32), nn.Conv2d(32, 2, 3, padding=1)
    layers = nn.Sequential(norm, nn.SiLU(), conv).to(dtype).requires_grad_(requires_grad=False)
    norm.weight.uniform_(0.5, 1.5)
    norm.bias.normal_()
    x = torch.rand(1, 32, 1021, 519) + torch.arange(1021)[:, None] / 100  # every row is another
    x = x.to(dtype, memory_format=torch.channels_last)
    assert x.numel() > NUMBERS_AT_ONCE
    expected = layers(x).float()
    near = 1e-4 if dtype == torch.float32 else 1e-2
    assert (convolve(x, norm, conv).float() - expected).abs().max() < near * expected.abs().max()
