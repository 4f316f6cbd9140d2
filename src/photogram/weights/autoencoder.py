"""The names and shapes of an autoencoder's tensors: BFL's ``ae.safetensors`` to diffusers' module.

In: the autoencoder's numbers and the style in which a file names its tensors. Out: a table of every
parameter of diffusers' `AutoencoderKL`, with the tensor that it is. It reads no file and imports no
torch.

Two things differ. BFL counts a decoder's levels from the picture inwards, diffusers in the order of
decoding. And BFL's attention multiplies by convolutions of 1x1, diffusers by matrices.

Source: black-forest-labs/flux @802fb47 src/flux/modules/autoencoder.py; huggingface/diffusers
loaders/single_file_utils.py `convert_ldm_vae_checkpoint`.
"""

from collections.abc import Iterator
from itertools import pairwise

from photogram.weights.components import Autoencoder
from photogram.weights.keymap import Entry, Shape, Source, Style

_PICTURE_CHANNELS = 3

_ATTENTION = (
    ("group_norm", "norm", "norm"),
    ("to_q", "q", "matrix"),
    ("to_k", "k", "matrix"),
    ("to_v", "v", "matrix"),
    ("to_out.0", "proj_out", "matrix"),
)
"""diffusers' name, BFL's name, and what the layer is."""


def entries(autoencoder: Autoencoder, style: Style) -> Iterator[Entry]:
    """Every parameter of the autoencoder, the encoder's first."""
    for entry in _entries(autoencoder):
        own = Source(entry.name, entry.shape)
        yield entry if style == "bfl" else Entry(entry.name, entry.shape, (own,))


def _entries(autoencoder: Autoencoder) -> Iterator[Entry]:
    """The table with BFL's names."""
    channels, innermost = autoencoder.channels, autoencoder.channels[-1]
    latents = autoencoder.latent_channels
    last = len(channels) - 1

    yield from _conv("encoder.conv_in", "encoder.conv_in", channels[0], _PICTURE_CHANNELS)
    for level, (before, width) in enumerate(pairwise((channels[0], *channels))):
        ours, theirs = f"encoder.down_blocks.{level}", f"encoder.down.{level}"
        yield from _level(ours, theirs, before, width, autoencoder.num_resnets)
        if level < last:
            yield from _conv(f"{ours}.downsamplers.0.conv", f"{theirs}.downsample.conv", width)
    yield from _middle("encoder", innermost)
    yield from _norm("encoder.conv_norm_out", "encoder.norm_out", innermost)
    yield from _conv("encoder.conv_out", "encoder.conv_out", 2 * latents, innermost)

    yield from _conv("decoder.conv_in", "decoder.conv_in", innermost, latents)
    yield from _middle("decoder", innermost)
    outwards = (innermost, *reversed(channels))
    for index, (before, width) in enumerate(pairwise(outwards)):
        ours, theirs = f"decoder.up_blocks.{index}", f"decoder.up.{last - index}"
        yield from _level(ours, theirs, before, width, autoencoder.num_resnets + 1)
        if index < last:
            yield from _conv(f"{ours}.upsamplers.0.conv", f"{theirs}.upsample.conv", width)
    yield from _norm("decoder.conv_norm_out", "decoder.norm_out", channels[0])
    yield from _conv("decoder.conv_out", "decoder.conv_out", _PICTURE_CHANNELS, channels[0])


def _level(ours: str, theirs: str, before: int, width: int, num_resnets: int) -> Iterator[Entry]:
    """The residual blocks of a level; the first may change the number of channels."""
    for index in range(num_resnets):
        yield from _resnet(
            f"{ours}.resnets.{index}",
            f"{theirs}.block.{index}",
            before if index == 0 else width,
            width,
        )


def _middle(side: str, width: int) -> Iterator[Entry]:
    ours, theirs = f"{side}.mid_block", f"{side}.mid"
    for index in range(2):
        yield from _resnet(f"{ours}.resnets.{index}", f"{theirs}.block_{index + 1}", width, width)
    for name, their_name, kind in _ATTENTION:
        names = f"{ours}.attentions.0.{name}", f"{theirs}.attn_1.{their_name}"
        yield from _norm(*names, width) if kind == "norm" else _matrix(*names, width)


def _resnet(ours: str, theirs: str, before: int, width: int) -> Iterator[Entry]:
    yield from _norm(f"{ours}.norm1", f"{theirs}.norm1", before)
    yield from _conv(f"{ours}.conv1", f"{theirs}.conv1", width, before)
    yield from _norm(f"{ours}.norm2", f"{theirs}.norm2", width)
    yield from _conv(f"{ours}.conv2", f"{theirs}.conv2", width)
    if before != width:
        yield from _conv(f"{ours}.conv_shortcut", f"{theirs}.nin_shortcut", width, before, side=1)


def _norm(ours: str, theirs: str, width: int) -> Iterator[Entry]:
    yield _same(f"{ours}.weight", f"{theirs}.weight", (width,))
    yield _same(f"{ours}.bias", f"{theirs}.bias", (width,))


def _conv(
    ours: str, theirs: str, width: int, before: int | None = None, *, side: int = 3
) -> Iterator[Entry]:
    """A convolution; without `before` it keeps the number of channels."""
    shape = (width, width if before is None else before, side, side)
    yield _same(f"{ours}.weight", f"{theirs}.weight", shape)
    yield _same(f"{ours}.bias", f"{theirs}.bias", (width,))


def _matrix(ours: str, theirs: str, width: int) -> Iterator[Entry]:
    source = Source(f"{theirs}.weight", (width, width, 1, 1))
    yield Entry(f"{ours}.weight", (width, width), (source,))
    yield _same(f"{ours}.bias", f"{theirs}.bias", (width,))


def _same(ours: str, theirs: str, shape: Shape) -> Entry:
    return Entry(ours, shape, (Source(theirs, shape),))
