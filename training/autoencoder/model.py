"""An `AutoencoderKL` with five blocks (factor 16), narrow at the top, with an initialisation that trains.

Diffusers' default convolution weights shrink the signal about threefold at every layer; here every
convolution keeps its variance, the second one of each residual block starts at zero, and biases are zero.
One normalisation group: several groups over few channels erase the colours.
"""

from __future__ import annotations

import math

import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D

WIDTHS = (16, 16, 48, 96, 192)
LATENT_CHANNELS = 16


def build_autoencoder(widths: tuple[int, ...] = WIDTHS) -> AutoencoderKL:
    """Return a fresh autoencoder in channels_last fp32."""
    model = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=1,
        sample_size=256,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
        scaling_factor=1.0,
        shift_factor=0.0,
        force_upcast=False,
    )
    initialise(model)
    return model.to(memory_format=torch.channels_last)


def initialise(model: AutoencoderKL) -> None:
    """Set variance-keeping weights; residual branches start at zero."""
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            fan_in = module.weight[0].numel()
            torch.nn.init.normal_(module.weight, std=1 / math.sqrt(fan_in))
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
    for module in model.modules():
        if isinstance(module, ResnetBlock2D):
            torch.nn.init.zeros_(module.conv2.weight)
