"""What of a checkpoint stays on a GPU of a given memory, and how much it takes at most.

In: the shapes of the networks and the bytes of a device. Out: a `Plan`, or none where the model
does not fit. It loads nothing and imports no torch; weights are counted exactly, what a step and a
decode hold beside them is an upper bound from the code that runs.
"""

from dataclasses import dataclass
from math import prod
from typing import Literal

from photogram.model.params import FluxParams
from photogram.weights.keymap import Entry, entries
from photogram.weights.locate import Checkpoint
from photogram.weights.packing import packed_bytes, packing_of, sources_of
from photogram.weights.parts import Part

Precision = Literal["bfloat16", "float8_e4m3fn"]

GIB = 2**30

PROMPTS_KEPT = 128
"""Text sequences that stay on the device; one of FLUX.1 [dev]'s takes 4 MiB."""

_RESERVE_BYTES = GIB  # the driver's context, workspaces of the libraries, what the allocator wastes
_STEP_BYTES = 72  # per token and channel, at the widest place of a single block without compiling
_UNPACKING_BYTES = 16  # per number: bytes, small integers, float32 twice, the result
_STEPS_AT_MOST = 50  # of which the modulation is kept


@dataclass(frozen=True, slots=True)
class Shapes:
    """All that a plan depends on.

    Attributes:
        packed_bytes: Of the transformer without its blocks' modulation, and of that modulation, as
            its file packs them; None where it packs nothing.
        text_parameters: Of both text encoders.
        vae_parameters: Of the whole autoencoder.
        vae_channels: Of its levels, from the picture inwards.
        text_tokens: Length of the text sequence.
        pixels: Width times height of the largest usual picture.
        size_multiple: Pixels per token, on each side.
    """

    transformer: FluxParams
    text_parameters: int
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


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the networks are, and the most memory that the device then needs.

    Attributes:
        precision: Of the transformer's blocks; all else is bfloat16.
        is_packed: Matrices stay as the file packs them, and are unpacked whenever they are used;
            the pictures are the same, a step takes longer.
        has_text: The text encoders are on the device; else the CPU runs them.
        has_modulation: The modulation's weights are on the device; else they wait in the host's
            memory and pass through the device once a picture.
        weight_bytes: What stays on the device.
        peak_bytes: Weights, kept prompts, a reserve, and a step or a decode, whichever is more.
    """

    precision: Precision
    is_packed: bool
    has_text: bool
    has_modulation: bool
    weight_bytes: int
    peak_bytes: int


def shapes_of(checkpoint: Checkpoint) -> Shapes:
    """What a checkpoint's plan depends on."""
    sizes = {part.name: part.num_parameters for part in checkpoint.components}
    return Shapes(
        transformer=checkpoint.transformer,
        text_parameters=sizes["text_encoder"] + sizes["text_encoder_2"],
        vae_parameters=sizes["vae"],
        vae_channels=checkpoint.autoencoder.channels,
        text_tokens=checkpoint.model.max_text_tokens,
        pixels=max(prod(size) for size in checkpoint.model.aspect_ratios.values()),
        size_multiple=checkpoint.autoencoder.size_multiple,
        packed_bytes=packed_transformer_bytes(
            checkpoint.parts["transformer"], checkpoint.transformer
        ),
    )


def choose_plan(shapes: Shapes, precision: Precision, device_bytes: int) -> Plan | None:
    """The first plan that fits a device, from everything on it to the least; None if none does.

    Packed weights are unpacked where there is room, which is faster, but are kept packed before a
    text encoder leaves the device, which is slower still.
    """
    can_pack = shapes.packed_bytes is not None and precision == "bfloat16"
    for is_packed, has_text, has_modulation in (
        (False, True, True),
        (False, True, False),
        (True, True, True),
        (True, True, False),
        (can_pack, False, False),
    ):
        if is_packed and not can_pack:
            continue
        plan = make_plan(
            shapes, precision, has_text=has_text, has_modulation=has_modulation, is_packed=is_packed
        )
        if plan.peak_bytes <= device_bytes:
            return plan
    return None


def least_plan(shapes: Shapes, precision: Precision) -> Plan:
    """The plan that needs the least memory."""
    can_pack = shapes.packed_bytes is not None and precision == "bfloat16"
    return make_plan(shapes, precision, has_text=False, has_modulation=False, is_packed=can_pack)


def make_plan(
    shapes: Shapes,
    precision: Precision,
    *,
    has_text: bool,
    has_modulation: bool,
    is_packed: bool = False,
) -> Plan:
    """The plan of one placement, with its bytes."""
    core, modulation = transformer_bytes(shapes.transformer, precision)
    step = step_bytes(shapes)
    if is_packed and shapes.packed_bytes is not None:
        core, modulation = shapes.packed_bytes
        step += unpacking_bytes(shapes.transformer)
    weights = core + 2 * shapes.vae_parameters
    weights += modulation * has_modulation + 2 * shapes.text_parameters * has_text
    params = shapes.transformer
    kept = 2 * PROMPTS_KEPT * shapes.text_tokens * params.context_in_dim
    kept += 2 * _STEPS_AT_MOST * params.num_modulations * params.hidden_size
    peak = weights + kept + _RESERVE_BYTES + max(step, decode_bytes(shapes))
    return Plan(precision, is_packed, has_text, has_modulation, weights, peak)


def host_bytes(shapes: Shapes, number_bytes: int) -> int:
    """All weights on a CPU, of so many bytes a number where nothing packs them."""
    if shapes.packed_bytes is not None:
        transformer = sum(shapes.packed_bytes)
    else:
        transformer = number_bytes * sum(prod(entry.shape) for entry in entries(shapes.transformer))
    return transformer + number_bytes * (shapes.text_parameters + shapes.vae_parameters)


def transformer_bytes(params: FluxParams, precision: Precision) -> tuple[int, int]:
    """Bytes of the transformer without its blocks' modulation, and of that modulation."""
    core, modulation = 0, 0
    for entry in entries(params):
        size_bytes = 2 * prod(entry.shape)
        if is_modulation(entry.name):
            modulation += size_bytes
        elif precision == "float8_e4m3fn" and is_in_float8(entry):
            core += size_bytes // 2 + 4 * entry.shape[0]  # and a float32 scale per row
        else:
            core += size_bytes
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


def is_modulation(name: str) -> bool:
    """Whether a parameter of ours is needed once a picture, and not at every step."""
    return "_mod." in name or ".modulation." in name


def is_in_float8(entry: Entry) -> bool:
    """Whether a parameter is of a layer that `Flux.quantize` replaces, and its matrix."""
    is_in_block = entry.name.startswith(("double_blocks.", "single_blocks."))
    is_matrix = entry.name.endswith(".weight")
    return is_in_block and is_matrix and not is_modulation(entry.name)


def step_bytes(shapes: Shapes) -> int:
    """What a denoising step of one picture holds beside the weights, at most."""
    tokens = shapes.text_tokens + shapes.pixels // shapes.size_multiple**2
    return _STEP_BYTES * tokens * shapes.transformer.hidden_size


def decode_bytes(shapes: Shapes) -> int:
    """What decoding holds, at most: the largest level's input, its norm, and three outputs."""
    channels = shapes.vae_channels
    inner = [*channels[1:], channels[-1]]
    sizes = [
        2 * (2 * width_in + 3 * width) * (shapes.pixels >> 2 * level)
        for level, (width_in, width) in enumerate(zip(inner, channels, strict=True))
    ]
    return max(sizes)
