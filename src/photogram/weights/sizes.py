"""How much memory the networks of a checkpoint take, and what they hold while they work.

In: the shapes of the networks and a precision. Out: bytes. Weights are counted exactly; what a step
and a decode hold beside them is an upper bound from the code that runs. It loads nothing, imports no
torch and knows no device.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import prod

from photogram.model.params import FluxParams
from photogram.weights.keymap import entries
from photogram.weights.locate import Checkpoint
from photogram.weights.packing import (
    Precision,
    entry_bytes,
    is_modulation,
    number_bytes,
    packed_bytes,
    packing_of,
    sources_of,
)
from photogram.weights.parts import Part

PROMPTS_KEPT = 128
"""Text sequences that stay on the device; one of FLUX.1 [dev]'s takes 4 MiB."""

_STEP_BYTES = 36  # per token, channel and byte of a number: a single block's widest place, eager
_UNPACKING_BYTES = 16  # per number: bytes, small integers, float32 twice, the result
STRIP_NUMBERS = 2**24
"""What has more is decoded in strips of so many, as `model.decoder` says."""

_STRIP_BYTES = 12 * STRIP_NUMBERS  # float32 twice, the result twice
_STEPS_AT_MOST = 50
_PICTURES_BEGUN = 4  # while one takes a step, as the engine has them


@dataclass(frozen=True, slots=True)
class Shapes:
    """All that a plan depends on.

    Attributes:
        packed_bytes: Of the transformer without its blocks' modulation, and of that modulation, as
            its file packs them; None where it packs nothing.
        text_parameters: Of both text encoders.
        text_matrices: Numbers and rows of those of T5's blocks, which int8 and nf4 pack.
        vae_parameters: Of the whole autoencoder.
        vae_channels: Of its levels, from the picture inwards.
        text_tokens: Length of the text sequence.
        pixels: Width times height of the largest usual picture.
        size_multiple: Pixels per token, on each side.
    """

    transformer: FluxParams
    text_parameters: int
    text_matrices: tuple[int, int]
    vae_parameters: int
    vae_channels: tuple[int, ...]
    text_tokens: int
    pixels: int
    size_multiple: int
    packed_bytes: tuple[int, int] | None = None


FLUX_DEV = Shapes(
    transformer=FluxParams(
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
    ),
    text_parameters=123_060_480 + 4_762_310_656,
    text_matrices=(24 * (4 * 4096**2 + 3 * 4096 * 10_240), 24 * (5 * 4096 + 2 * 10_240)),
    vae_parameters=83_819_683,
    vae_channels=(128, 256, 512, 512),
    text_tokens=512,
    pixels=1024 * 1024,
    size_multiple=16,
)
"""FLUX.1 [dev] at 1024x1024.

Source: black-forest-labs/FLUX.1-dev, its configurations; T5 v1.1 XXL's encoder and CLIP-L's text
model.
"""


def shapes_of(checkpoint: Checkpoint) -> Shapes:
    """What a checkpoint's plan depends on."""
    sizes = {part.name: part.num_parameters for part in checkpoint.components}
    return Shapes(
        transformer=checkpoint.transformer,
        text_parameters=sizes["text_encoder"] + sizes["text_encoder_2"],
        text_matrices=_matrices(checkpoint.parts["text_encoder_2"]),
        vae_parameters=sizes["vae"],
        vae_channels=checkpoint.autoencoder.channels,
        text_tokens=checkpoint.model.max_text_tokens,
        pixels=max(prod(size) for size in checkpoint.model.aspect_ratios.values()),
        size_multiple=checkpoint.autoencoder.size_multiple,
        packed_bytes=packed_transformer_bytes(
            checkpoint.parts["transformer"], checkpoint.transformer
        ),
    )


def is_packed_in_text(name: str) -> bool:
    """Whether int8 and nf4 pack a tensor of T5's encoder."""
    is_in_block = name.startswith("encoder.block.")
    return is_in_block and name.endswith(".weight") and "norm" not in name and "bias" not in name


def _matrices(part: Part) -> tuple[int, int]:
    """As `Shapes.text_matrices`."""
    shapes = [each.shape for name, each in part.tensors.items() if is_packed_in_text(name)]
    return sum(map(prod, shapes)), sum(shape[0] for shape in shapes)


def text_bytes(shapes: Shapes, precision: Precision) -> int:
    """Bytes of both text encoders."""
    numbers, rows = shapes.text_matrices if precision in ("int8", "nf4") else (0, 0)
    return number_bytes(precision) * (shapes.text_parameters - numbers) + numbers + 4 * rows


def transformer_bytes(params: FluxParams, precision: Precision) -> tuple[int, int]:
    """Bytes of the transformer without its blocks' modulation, and of that modulation."""
    core, modulation = 0, 0
    for entry in entries(params):
        if is_modulation(entry.name):
            modulation += entry_bytes(entry, precision)
        else:
            core += entry_bytes(entry, precision)
    return core, modulation


def unpacking_bytes(params: FluxParams) -> int:
    """What unpacking the largest matrix holds, at most."""
    return _UNPACKING_BYTES * max(prod(entry.shape) for entry in entries(params))


def packed_transformer_bytes(part: Part, params: FluxParams) -> tuple[int, int] | None:
    """As `Shapes.packed_bytes`."""
    table = list(entries(params, part.layout))
    if not any(packing_of(entry, sources_of(entry, part.tensors)) for entry in table):
        return None
    sizes = {entry.name: packed_bytes(entry, part.tensors) for entry in table}
    modulation = sum(size for name, size in sizes.items() if is_modulation(name))
    return sum(sizes.values()) - modulation, modulation


def kept_bytes(shapes: Shapes, precision: Precision) -> int:
    """What is kept of prompts, and of the modulation of all steps of the pictures that have begun."""
    params = shapes.transformer
    prompts = PROMPTS_KEPT * shapes.text_tokens * params.context_in_dim
    modulation = _STEPS_AT_MOST * params.num_modulations * params.hidden_size
    return number_bytes(precision) * (prompts + _PICTURES_BEGUN * modulation)


def token_bytes(shapes: Shapes, precision: Precision) -> int:
    """What a denoising step holds for one token beside the weights, at most."""
    return _STEP_BYTES * number_bytes(precision) * shapes.transformer.hidden_size


def num_tokens(shapes: Shapes) -> int:
    """Tokens of the largest usual picture."""
    return shapes.text_tokens + shapes.pixels // shapes.size_multiple**2


def decode_bytes(shapes: Shapes, precision: Precision) -> int:
    """What decoding holds, at most; encoding holds less.

    That is the largest level's input, its norm, and three outputs; in strips, the input, two outputs and
    what a strip takes.
    """
    channels = shapes.vae_channels
    sizes = []
    for level, (width, before) in enumerate(pairwise((*channels, channels[-1]))):
        channel_bytes = number_bytes(precision) * (shapes.pixels >> 2 * level)
        if before * (shapes.pixels >> 2 * level) > STRIP_NUMBERS:
            sizes.append(channel_bytes * (before + 2 * width) + _STRIP_BYTES)
        else:
            sizes.append(channel_bytes * (2 * before + 3 * width))
    return max(sizes)
